locals {
  # Partition, account, path, name.
  role = regex("^arn:([a-z-]+):iam::([0-9]+):role(/(?:.*/)?)([^/]+)$", var.role_arn)

  carried = concat(
    var.session_tags ? ["sts:TagSession"] : [],
    var.source_identity ? ["sts:SetSourceIdentity"] : [],
  )

  trust_policy = {
    Version = "2012-10-17"
    Statement = concat(
      [
        merge(
          {
            Effect = "Allow"
            Principal = {
              AWS = var.source_role_arn
            }
            Action = "sts:AssumeRole"
          },
          var.external_id == null ? {} : {
            Condition = {
              StringEquals = {
                "sts:ExternalId" = var.external_id
              }
            }
          },
        ),
      ],
      length(local.carried) == 0 ? [] : [
        {
          Effect = "Allow"
          Principal = {
            AWS = var.source_role_arn
          }
          Action = local.carried
        },
      ],
    )
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
