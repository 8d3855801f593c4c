terraform {
  required_version = ">= 1.2" # postconditions

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.81" # an OIDC provider without a thumbprint: IAM finds it by itself
    }
  }
}
