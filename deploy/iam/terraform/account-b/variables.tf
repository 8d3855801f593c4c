variable "role_arn" {
  description = "This role, for instance SIDECAR_TARGET_ROLE_ARN of the sidecar: it is made with this name and path"
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]+$", var.role_arn))
    error_message = "Write it as arn:aws:iam::444455556666:role/NAME."
  }
}

variable "source_role_arn" {
  description = "The role of the hop before, which must be there already"
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]+$", var.source_role_arn))
    error_message = "Write it as arn:aws:iam::111122223333:role/NAME: one role, not all of its account."
  }
}

variable "external_id" {
  description = "SIDECAR_EXTERNAL_ID; null where it is not set"
  type        = string
  default     = null
}

variable "session_tags" {
  description = "true where this hop has session tags, or inherits transitive ones"
  type        = bool
  default     = false
}

variable "source_identity" {
  description = "true where this hop or one before it sets a source identity"
  type        = bool
  default     = false
}

variable "next_role_arn" {
  description = "The role of the next hop in its own account; null where this one is served, or where it is in this account"
  type        = string
  default     = null
}

variable "next_session_tags" {
  description = "true where the next hop has session tags, or inherits transitive ones"
  type        = bool
  default     = false
}

variable "next_source_identity" {
  description = "true where the next hop or one before it sets a source identity"
  type        = bool
  default     = false
}

variable "policy_arns" {
  description = "Managed policies of what the role itself may do"
  type        = set(string)
  default     = []
}
