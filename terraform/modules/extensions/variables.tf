variable "name" {
  description = "Name of the stack. Another name is another stack: the old one is deleted first, and does what removal_policy says."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,127}$", var.name))
    error_message = "A name has at most 128 letters, digits and hyphens, and begins with a letter."
  }
}

variable "service_token" {
  description = "ARN of the function: the output service_token of the module provider, or of a function that is there already. A stack cannot change it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]+$", var.service_token))
    error_message = "The service_token is the whole ARN of a function, without a version."
  }
}

variable "service_timeout" {
  description = "How long CloudFormation waits for one request, in seconds. 1200 allows for Lambda's queue (300) and the longest run (900)."
  type        = number
  default     = 1200

  validation {
    condition     = var.service_timeout == null ? true : var.service_timeout >= 1 && var.service_timeout <= 3600 && floor(var.service_timeout) == var.service_timeout
    error_message = "The service_timeout is a whole number of seconds from 1 to 3600."
  }
}

variable "secret" {
  description = "ARN or name of the Secrets Manager secret with the credentials. Needed unless authentication is IAM."
  type        = string
  default     = null

  validation {
    condition     = var.secret != null || (var.authentication == "IAM" && var.host != null && var.username != null)
    error_message = "Give the secret, or authentication = \"IAM\" with host and username."
  }
}

# Of no stated type: a version that is written as a number can be told from a string only before it is
# converted, and 1.10 has lost its zero by then.
variable "extensions" {
  description = "Extension to version, or to { version, schema }. A version is \"3.4.3\", \"3.4.*\", \"latest\", \"any\" or \"absent\"; null is \"any\". The key \"*\" is every installed extension that is not listed."
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = can(keys(var.extensions))
    error_message = "The extensions are a map: { postgis = \"3.4.3\" }."
  }

  validation {
    condition = !can(keys(var.extensions)) ? true : alltrue([
      for name, wanted in var.extensions : can(regex("^(null|\".*\"|{.*})$", jsonencode(wanted)))
    ])
    error_message = "${join(", ", try([
      for name, wanted in var.extensions : name if !can(regex("^(null|\".*\"|{.*})$", jsonencode(wanted)))
    ], []))}: a version is a string: write \"1.10\" in quotes, for the number 1.10 is 1.1. Beside a string, null and { version, schema } are allowed."
  }

  validation {
    condition = !can(keys(var.extensions)) ? true : alltrue([
      for name, wanted in var.extensions : alltrue([
        for key, value in try(tomap({ for key in keys(wanted) : key => jsonencode(wanted[key]) }), {}) :
        contains(["version", "schema"], key) && can(regex("^(null|\".*\")$", value))
      ])
    ])
    error_message = "${join(", ", try([
      for name, wanted in var.extensions : name if anytrue([
        for key, value in try(tomap({ for key in keys(wanted) : key => jsonencode(wanted[key]) }), {}) :
        !contains(["version", "schema"], key) || !can(regex("^(null|\".*\")$", value))
      ])
    ], []))}: an extension in braces has the keys version and schema, and both are strings: { version = \"3.4.3\", schema = \"gis\" }."
  }

  validation {
    condition = !can(keys(var.extensions)) ? true : alltrue([
      for name, wanted in var.extensions : !contains(["*"], try(trimspace(wanted.version), trimspace(wanted), ""))
    ])
    error_message = "The version \"*\" is refused: say \"any\" or \"latest\"."
  }

  validation {
    condition = !can(keys(var.extensions)) ? true : (
      length(distinct([for name in keys(var.extensions) : lower(name)])) == length(keys(var.extensions))
    )
    error_message = "Two names differ in upper and lower case alone: they mean the same extension."
  }
}

variable "extensions_from" {
  description = "ARN or name of the secret of another database, whose extensions and versions are wanted here too. Those of extensions win."
  type        = string
  default     = null
}

variable "databases" {
  description = "Where to install; [\"*\"] is every database that allows connections and is no template. Without it, the secret's dbname, else postgres."
  type        = list(string)
  default     = null

  validation {
    condition = var.databases == null ? true : (
      length(var.databases) > 0 && alltrue([for name in var.databases : name != ""]) &&
      (!contains(var.databases, "*") || length(var.databases) == 1)
    )
    error_message = "The databases are names, at least one and none empty, or [\"*\"] alone."
  }
}

variable "host" {
  description = "Host of the server, where the secret does not have it, or another one. A change is a replacement."
  type        = string
  default     = null
}

variable "port" {
  description = "Port of the server. Without it, the secret's, else 5432. A change is a replacement."
  type        = number
  default     = null

  validation {
    condition     = var.port == null ? true : var.port >= 1 && var.port <= 65535 && floor(var.port) == var.port
    error_message = "A port is a whole number from 1 to 65535."
  }
}

variable "username" {
  description = "Role to log in as. Without it, the secret's."
  type        = string
  default     = null
}

variable "authentication" {
  description = "Password, or IAM: an RDS token for username in place of a password."
  type        = string
  default     = "Password"
  nullable    = false

  validation {
    condition     = contains(["Password", "IAM"], var.authentication)
    error_message = "The authentication is Password or IAM."
  }
}

variable "ssl_mode" {
  description = "verify-full, verify-ca, require or disable, as in libpq."
  type        = string
  default     = "verify-full"
  nullable    = false

  validation {
    condition     = contains(["verify-full", "verify-ca", "require", "disable"], var.ssl_mode)
    error_message = "The ssl_mode is verify-full, verify-ca, require or disable."
  }
}

variable "ssl_root_cert" {
  description = "PEM text of roots to trust, beside those of RDS and Amazon."
  type        = string
  default     = null

  validation {
    condition     = var.ssl_root_cert == null ? true : strcontains(var.ssl_root_cert, "-----BEGIN CERTIFICATE-----")
    error_message = "The ssl_root_cert is PEM text, not a path: file(\"root.pem\")."
  }
}

variable "removal_policy" {
  description = "Retain, Drop or DropCascade: what becomes of extensions that this stack created, when they leave the map and when the stack is deleted."
  type        = string
  default     = "Retain"
  nullable    = false

  validation {
    condition     = contains(["Retain", "Drop", "DropCascade"], var.removal_policy)
    error_message = "The removal_policy is Retain, Drop or DropCascade."
  }
}

variable "downgrade_policy" {
  description = "Fail or Keep: what becomes of a version that no update path reaches."
  type        = string
  default     = "Fail"
  nullable    = false

  validation {
    condition     = contains(["Fail", "Keep"], var.downgrade_policy)
    error_message = "The downgrade_policy is Fail or Keep."
  }
}

variable "dry_run" {
  description = "Prove the plan in a transaction that is rolled back, and report what would be."
  type        = bool
  default     = false
  nullable    = false
}

variable "trigger" {
  description = "Ignored. A new value makes CloudFormation send an Update, after a restore for example."
  type        = string
  default     = null
}

variable "iam_role_arn" {
  description = "ARN of the role that CloudFormation works with. Without it, the caller's."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the stack."
  type        = map(string)
  default     = {}
  nullable    = false
}
