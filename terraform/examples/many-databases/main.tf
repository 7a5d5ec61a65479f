# Extensions of many databases, by a function that is there already. The secrets have host, login and dbname.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "service_token" {
  description = "ARN of the function."
  type        = string
}

variable "ssl_root_cert" {
  description = "PEM text of roots to trust, where the servers are not of RDS."
  type        = string
  default     = null
}

variable "databases" {
  description = "By a name that a stack can have: the database's secret, and what it needs beside the common extensions."
  # Not map(object(...)): that would make "1.1" of the number 1.10 before the module can refuse it.
  type = any

  validation {
    condition = alltrue([
      for one in var.databases : contains(keys(one), "secret") && length(setsubtract(keys(one), ["secret", "extensions"])) == 0
    ])
    error_message = "A database has the key secret, and may have extensions."
  }
}

locals {
  common = { pgcrypto = "1.3", hstore = "1.*" }
}

module "extensions" {
  source   = "../../modules/extensions"
  for_each = var.databases

  name          = "extensions-${each.key}"
  service_token = var.service_token
  secret        = each.value.secret
  ssl_root_cert = var.ssl_root_cert
  extensions    = merge(local.common, lookup(each.value, "extensions", {}))
}

output "versions" {
  description = "Installed versions, by database and extension."
  value       = { for name, one in module.extensions : name => one.versions }
}
