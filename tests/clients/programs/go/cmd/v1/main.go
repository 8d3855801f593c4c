// The AWS SDK for Go v1, which knows no AWS_ENDPOINT_URL_STS.
package main

import (
	"os"

	"clients/lines"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/sts"
)

func main() {
	client := sts.New(session.Must(session.NewSession()), aws.NewConfig().WithEndpoint(os.Getenv("STS_URL")))
	lines.Serve("github.com/aws/aws-sdk-go", func() (string, error) {
		who, err := client.GetCallerIdentity(&sts.GetCallerIdentityInput{})
		if err != nil {
			return "", err
		}
		return *who.Arn, nil
	})
}
