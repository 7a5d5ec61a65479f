variable "name" {
  description = "Name of the stack and of the function. Another name is another function, and no resource can change its ServiceToken."
  type        = string
  default     = "postgres-extensions"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,53}$", var.name))
    error_message = "A name has at most 54 letters, digits and hyphens, and begins with a letter."
  }
}

variable "bucket" {
  description = "S3 bucket, in the region of the function, for its code."
  type        = string
  nullable    = false
}

variable "zip" {
  description = "Path of the zip with the function's bootstrap, which is uploaded to the bucket. Needed without key."
  type        = string
  default     = null

  validation {
    condition     = (var.zip == null) != (var.key == null)
    error_message = "Give either zip, a path on this machine, or key, of an object that is in the bucket."
  }

  validation {
    condition     = var.zip == null ? true : fileexists(var.zip)
    error_message = "There is no file at the path zip."
  }
}

variable "key" {
  description = "Key of the zip, where it is in the bucket already. Needed without zip."
  type        = string
  default     = null
}

variable "object_version" {
  description = "Version of that object, in a bucket with versions."
  type        = string
  default     = null

  validation {
    condition     = var.object_version == null || var.key != null
    error_message = "object_version belongs to key."
  }
}

variable "template" {
  description = "Path of template.yaml. Without it, the one of the release that this module is of."
  type        = string
  default     = null
}

variable "iam_role_arn" {
  description = "ARN of the role that CloudFormation works with. Without it, the caller's."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the stack, which CloudFormation gives to its resources, and of the zip."
  type        = map(string)
  default     = {}
  nullable    = false
}

# The parameters of template.yaml. It has their defaults, and CloudFormation checks their values.

variable "secret_arns" {
  description = "ARNs of the secrets that the function may read; an ARN may end in * after the beginning of a name."
  type        = list(string)
  default     = null
}

variable "kms_key_arn" {
  description = "ARN of the key of these secrets, unless it is AWS's own."
  type        = string
  default     = null
}

variable "iam_db_user_arns" {
  description = "ARNs of the database roles that the function may log in as with IAM authentication."
  type        = list(string)
  default     = null
}

variable "allowed_hosts" {
  description = "Hosts, separated by commas, that a password may be sent to where a resource names the host; see docs/databases.md."
  type        = string
  default     = null
}

variable "subnet_ids" {
  description = "Subnets from which the databases can be reached."
  type        = list(string)
  default     = null

  validation {
    condition     = (length(coalesce(var.subnet_ids, [])) == 0) == (length(coalesce(var.security_group_ids, [])) == 0)
    error_message = "Give both subnet_ids and security_group_ids, or none of them."
  }
}

variable "security_group_ids" {
  description = "Security groups of the function. Those of the databases must allow them."
  type        = list(string)
  default     = null
}

variable "ssl_root_cert_layer_arn" {
  description = "ARN of a version of a Lambda layer with the certificates of your own authorities."
  type        = string
  default     = null
}

variable "ssl_root_cert_path" {
  description = "Where the function finds the PEM file of that layer."
  type        = string
  default     = null
}

variable "memory_size" {
  description = "Memory of the function in MB. Processor time comes with it."
  type        = number
  default     = null
}

variable "timeout" {
  description = "How long one request may take, in seconds."
  type        = number
  default     = null
}

variable "reserved_concurrency" {
  description = "How many requests may run at a time, kept for this function."
  type        = number
  default     = null
}

variable "log_retention_in_days" {
  description = "How many days CloudWatch keeps the logs."
  type        = number
  default     = null
}

variable "log_kms_key_arn" {
  description = "ARN of the key of the logs. Without it, CloudWatch's own."
  type        = string
  default     = null
}

variable "tracing" {
  description = "PassThrough or Active: Lambda sends traces of both functions to X-Ray."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of both roles."
  type        = string
  default     = null
}

variable "role_path" {
  description = "IAM path of both roles."
  type        = string
  default     = null
}

variable "architecture" {
  description = "Processor that the zip was built for: arm64 or x86_64."
  type        = string
  default     = null
}
