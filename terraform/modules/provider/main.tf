# The function is deployed by its own template.yaml: its roles, logs and failure destination have one
# description.

locals {
  source    = file(coalesce(var.template, "${path.module}/../../../template.yaml"))
  code_uri  = "(?m)^( +CodeUri:).*$"
  functions = length(regexall(local.code_uri, local.source))
  code = {
    Bucket = var.bucket
    Key    = var.zip == null ? var.key : aws_s3_object.code[0].key
  }
  # A release's zip has the processor in its name; template.yaml has the parameter's default.
  built_for    = try(regex("-(arm64|x86_64)\\.zip$", coalesce(var.zip, var.key))[0], null)
  architecture = try(coalesce(var.architecture), regex("(?m)^  Architecture:\n    Type: String\n    Default: (\\w+)$", local.source)[0], local.built_for)
  version      = var.object_version == null ? {} : { Version = var.object_version }
  template     = replace(local.source, "/${local.code_uri}/", "$1 ${jsonencode(merge(local.code, local.version))}")

  # A null leaves the default of template.yaml.
  parameters = {
    SecretArns             = var.secret_arns == null ? null : join(",", var.secret_arns)
    KmsKeyArn              = var.kms_key_arn
    IamDbUserArns          = var.iam_db_user_arns == null ? null : join(",", var.iam_db_user_arns)
    AllowedHosts           = var.allowed_hosts
    SubnetIds              = var.subnet_ids == null ? null : join(",", var.subnet_ids)
    SecurityGroupIds       = var.security_group_ids == null ? null : join(",", var.security_group_ids)
    SslRootCertLayerArn    = var.ssl_root_cert_layer_arn
    SslRootCertPath        = var.ssl_root_cert_path
    MemorySize             = var.memory_size
    Timeout                = var.timeout
    ReservedConcurrency    = var.reserved_concurrency
    LogRetentionInDays     = var.log_retention_in_days
    LogKmsKeyArn           = var.log_kms_key_arn
    Tracing                = var.tracing
    PermissionsBoundaryArn = var.permissions_boundary_arn
    RolePath               = var.role_path
    Architecture           = var.architecture
  }
}

resource "aws_s3_object" "code" {
  count = var.zip == null ? 0 : 1

  bucket = var.bucket
  # Another zip is another key: CloudFormation updates a function only where its key changes.
  key         = "${var.name}/${filesha256(var.zip)}/bootstrap.zip"
  source      = var.zip
  source_hash = filesha256(var.zip)
  tags        = var.tags

  lifecycle {
    # A stack that is rolled back needs the old zip.
    create_before_destroy = true
  }
}

resource "aws_cloudformation_stack" "this" {
  name          = var.name
  template_body = local.template
  parameters    = { for name, value in local.parameters : name => tostring(value) if value != null }
  capabilities  = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
  iam_role_arn  = var.iam_role_arn
  tags          = var.tags

  lifecycle {
    precondition {
      condition     = local.functions > 0
      error_message = "The template has no line `CodeUri: ...`: name the template.yaml of this project."
    }

    precondition {
      condition     = local.built_for == null || local.built_for == local.architecture
      error_message = "The zip is for ${coalesce(local.built_for, "?")}, and the functions would run on ${coalesce(local.architecture, "?")}: that is the variable architecture, else the template's default."
    }
  }
}
