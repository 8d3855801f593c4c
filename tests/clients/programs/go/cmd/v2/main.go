// The AWS SDK for Go v2.
package main

import (
	"context"

	"clients/lines"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		panic(err)
	}
	client := sts.NewFromConfig(cfg)
	lines.Serve("github.com/aws/aws-sdk-go-v2", func() (string, error) {
		who, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return "", err
		}
		return *who.Arn, nil
	})
}
