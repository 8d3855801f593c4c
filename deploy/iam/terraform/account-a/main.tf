resource "aws_iam_openid_connect_provider" "cluster" {
  count = var.create_provider ? 1 : 0

  url            = var.issuer
  client_id_list = [var.audience]
}

resource "aws_iam_role" "this" {
  name                 = local.role[3]
  path                 = local.role[2]
  max_session_duration = var.max_session_duration
  assume_role_policy   = jsonencode(local.trust_policy)

  lifecycle {
    postcondition {
      condition     = self.arn == var.role_arn
      error_message = "These are the credentials of another account or partition than that of role_arn."
    }
  }
}

resource "aws_iam_role_policy" "next" {
  count = var.next_role_arn == null ? 0 : 1

  name   = "credential-sidecar"
  role   = aws_iam_role.this.name
  policy = jsonencode(local.permission_policy)
}

resource "aws_iam_role_policy_attachment" "own" {
  for_each = var.policy_arns

  role       = aws_iam_role.this.name
  policy_arn = each.value
}
