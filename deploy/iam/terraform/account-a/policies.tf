locals {
  # Partition, account, path, name.
  role   = regex("^arn:([a-z-]+):iam::([0-9]+):role(/(?:.*/)?)([^/]+)$", var.role_arn)
  issuer = trimprefix(var.issuer, "https://")

  trust_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Principal = {
          Federated = "arn:${local.role[0]}:iam::${local.role[1]}:oidc-provider/${local.issuer}"
        }
        Action = "sts:AssumeRoleWithWebIdentity"
        Condition = {
          StringEquals = {
            "${local.issuer}:aud" = var.audience
            "${local.issuer}:sub" = var.subject
          }
        }
      },
    ]
  }

  permission_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = concat(
          ["sts:AssumeRole"],
          var.next_session_tags ? ["sts:TagSession"] : [],
          var.next_source_identity ? ["sts:SetSourceIdentity"] : [],
        )
        Resource = var.next_role_arn
      },
    ]
  }
}
