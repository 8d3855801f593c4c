output "role_arn" {
  description = "AWS_ROLE_ARN of the sidecar, and source_role_arn of account-b"
  value       = aws_iam_role.this.arn
}
