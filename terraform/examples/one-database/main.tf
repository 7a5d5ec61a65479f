# A function, and the extensions of one database that Terraform creates.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "bucket" {
  description = "S3 bucket for the function's code, in the region of the database."
  type        = string
}

variable "zip" {
  description = "Path of the zip with the function's bootstrap."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the database."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the database and of the function, with a route to Secrets Manager: docs/network.md."
  type        = list(string)
}

resource "aws_db_subnet_group" "app" {
  name       = "app"
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "function" {
  name   = "postgres-extensions"
  vpc_id = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "function" {
  security_group_id = aws_security_group.function.id
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_security_group" "database" {
  name   = "app-database"
  vpc_id = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = aws_security_group.database.id
  referenced_security_group_id = aws_security_group.function.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_db_instance" "app" {
  identifier                  = "app"
  engine                      = "postgres"
  engine_version              = "16"
  instance_class              = "db.t4g.medium"
  allocated_storage           = 20
  storage_encrypted           = true
  db_name                     = "app"
  username                    = "app_admin"
  manage_master_user_password = true
  db_subnet_group_name        = aws_db_subnet_group.app.name
  vpc_security_group_ids      = [aws_security_group.database.id]
  skip_final_snapshot         = true
}

module "provider" {
  source = "../../modules/provider"

  bucket             = var.bucket
  zip                = var.zip
  secret_arns        = [aws_db_instance.app.master_user_secret[0].secret_arn]
  subnet_ids         = var.subnet_ids
  security_group_ids = [aws_security_group.function.id]
}

module "extensions" {
  source = "../../modules/extensions"

  name          = "app-extensions"
  service_token = module.provider.service_token
  # RDS's own secret has the login alone.
  secret    = aws_db_instance.app.master_user_secret[0].secret_arn
  host      = aws_db_instance.app.address
  databases = ["app"]
  extensions = {
    postgis  = "3.4.*"
    pgcrypto = "any"
    pg_trgm  = { version = "1.6", schema = "tools" }
  }

  # Without the rules the function does not reach the database, in a destroy neither.
  depends_on = [
    aws_vpc_security_group_egress_rule.function,
    aws_vpc_security_group_ingress_rule.database,
  ]
}

output "versions" {
  description = "Installed versions, by extension."
  value       = module.extensions.versions
}
