variable "role_arn" {
  description = "The role of hop 1, AWS_ROLE_ARN of the sidecar: it is made with this name and path"
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]+$", var.role_arn))
    error_message = "Write it as arn:aws:iam::111122223333:role/NAME."
  }
}

variable "issuer" {
  description = "The cluster's issuer, as `aws eks describe-cluster --query cluster.identity.oidc.issuer` prints it"
  type        = string

  validation {
    condition     = can(regex("^https://[A-Za-z0-9_.-]+(/[A-Za-z0-9_.~%/-]*)?$", var.issuer))
    error_message = "Write an https URL, without port, query and fragment."
  }
}

variable "audience" {
  description = "The audience of the projected volume"
  type        = string
  default     = "sts.amazonaws.com"
}

variable "subject" {
  description = "One service account, system:serviceaccount:NAMESPACE:NAME; no pattern"
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.:/@+=~-]{1,255}$", var.subject))
    error_message = "Write one service account: conditions are compared whole."
  }
}

variable "create_provider" {
  description = "false where the account has an OIDC provider for the issuer; then add the audience to that one"
  type        = bool
  default     = true
}

variable "max_session_duration" {
  description = "Seconds, 3600 to 43200; at least what is asked for on hop 1"
  type        = number
  default     = 3600
}

variable "next_role_arn" {
  description = "The role of hop 2 in its own account; null in direct mode, or where it is in this account"
  type        = string
  default     = null
}

variable "next_session_tags" {
  description = "true where hop 2 has session tags"
  type        = bool
  default     = false
}

variable "next_source_identity" {
  description = "true where hop 2 sets a source identity"
  type        = bool
  default     = false
}

variable "policy_arns" {
  description = "Managed policies of what the role itself may do; for direct mode"
  type        = set(string)
  default     = []
}
