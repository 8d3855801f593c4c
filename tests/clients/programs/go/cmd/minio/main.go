// minio-go, with the chain that restic and Tempo give it.
package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"clients/lines"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func main() {
	chain := credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.FileAWSCredentials{},
		&credentials.IAM{},
	})
	host := strings.TrimPrefix(os.Getenv("S3_URL"), "http://")
	client, err := minio.New(host, &minio.Options{Creds: chain, Region: os.Getenv("AWS_REGION")})
	if err != nil {
		panic(err)
	}
	lines.Serve("github.com/minio/minio-go/v7", func() (string, error) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for object := range client.ListObjects(ctx, os.Getenv("S3_BUCKET"), minio.ListObjectsOptions{}) {
			return object.Key, object.Err
		}
		return "", errors.New("the bucket is empty")
	})
}
