locals {
  # CloudFormation has no null. An empty version is `any` too.
  plugins_map = {
    for name, wanted in var.extensions : name => try(
      { for key in keys(wanted) : title(key) => wanted[key] if wanted[key] != null },
      coalesce(wanted, "any"),
    )
  }

  versions = {
    for name, wanted in local.plugins_map : name => try(tostring(wanted), tostring(wanted.Version), "any")
  }

  # `Data` has a name as the server spells it. A map's key is found there without regard to case.
  listed = sort(distinct([
    for name, version in local.versions : lower(name) if name != "*" && version != "absent"
  ]))

  properties = {
    for name, value in {
      ServiceToken    = var.service_token
      ServiceTimeout  = var.service_timeout
      DBSecret        = var.secret
      PluginsMap      = local.plugins_map
      PluginsFrom     = var.extensions_from
      Databases       = var.databases
      Host            = var.host
      Port            = var.port
      Username        = var.username
      Authentication  = var.authentication
      SslMode         = var.ssl_mode
      SslRootCert     = var.ssl_root_cert
      RemovalPolicy   = var.removal_policy
      DowngradePolicy = var.downgrade_policy
      DryRun          = var.dry_run
      Trigger         = var.trigger
    } : name => value if value != null
  }

  attributes = ["Changed", "Changes", "Before", "After", "ServerVersion"]
  get        = { for name in concat(local.attributes, local.listed) : name => { "Fn::GetAtt" = ["Extensions", name] } }
  separator  = "; "

  outputs = merge(
    { for name in local.attributes : name => { Value = local.get[name] } },
    { PhysicalResourceId = { Value = { Ref = "Extensions" } } },
    # One output for all: the name of an output cannot have the hyphen of uuid-ossp.
    {
      for name in ["Versions"] : name => {
        Description = "Installed versions of ${join(", ", local.listed)}"
        Value = { "Fn::Join" = [local.separator, [
          for name in local.listed : { "Fn::Join" = [" ", [name, local.get[name]]] }
        ]] }
      } if length(local.listed) > 0
    },
  )

  # Seconds. A request and its rollback, and for an update also the Delete of what it replaces.
  request = coalesce(var.service_timeout, 3600)
  minutes = { for operation, requests in { create = 2, update = 3, delete = 1 } : operation => ceil(requests * local.request / 60) + 10 }
}

resource "aws_cloudformation_stack" "this" {
  name = var.name
  template_body = jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "Extensions of a PostgreSQL server, by Terraform"
    Resources = {
      Extensions = {
        Type       = "Custom::PostgresExtensions"
        Properties = local.properties
      }
    }
    Outputs = local.outputs
  })
  iam_role_arn = var.iam_role_arn
  tags         = var.tags

  timeouts {
    create = "${local.minutes.create}m"
    update = "${local.minutes.update}m"
    delete = "${local.minutes.delete}m"
  }
}
