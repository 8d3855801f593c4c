output "role_arn" {
  description = "SIDECAR_TARGET_ROLE_ARN, or source_role_arn of the next account"
  value       = aws_iam_role.this.arn
}
