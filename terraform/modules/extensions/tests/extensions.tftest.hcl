mock_provider "aws" {
  mock_resource "aws_cloudformation_stack" {
    defaults = {
      outputs = {
        Versions           = "hstore 1.8; uuid-ossp 1.1"
        Changed            = "true"
        Changes            = "created hstore 1.8; created uuid-ossp 1.1"
        Before             = "plpgsql 1.0"
        After              = "hstore 1.8, plpgsql 1.0, uuid-ossp 1.1"
        ServerVersion      = "15.8"
        PhysicalResourceId = "Extensions-1a2b3c4d"
      }
    }
  }
}

variables {
  name          = "app-extensions"
  service_token = "arn:aws:lambda:eu-central-1:123456789012:function:postgres-extensions"
  secret        = "app/database"
}

run "the_versions_are_told_by_extension" {
  variables {
    extensions = { HStore = "1.*", uuid-ossp = null, citext = "absent", "*" = "any" }
  }

  assert {
    condition     = output.versions == { hstore = "1.8", uuid-ossp = "1.1" }
    error_message = jsonencode(output.versions)
  }
  assert {
    condition     = output.changed && output.changes == "created hstore 1.8; created uuid-ossp 1.1"
    error_message = "What the stack reports about changes is not in the outputs."
  }
  assert {
    condition     = output.before == "plpgsql 1.0" && output.after == "hstore 1.8, plpgsql 1.0, uuid-ossp 1.1"
    error_message = "Before and After are not in the outputs."
  }
  assert {
    condition     = output.server_version == "15.8" && output.physical_resource_id == "Extensions-1a2b3c4d"
    error_message = "The server's version and the resource's id are not in the outputs."
  }
}

run "the_template_has_what_the_variables_say" {
  command = plan

  variables {
    extensions = {
      PostGIS   = { version = "3.4.3", schema = "gis" }
      citext    = { schema = "text", version = null }
      hstore    = "1.10"
      uuid-ossp = null
      pg_trgm   = ""
    }
    databases = ["a,b", "c"]
    port      = 6432
    dry_run   = true
  }

  assert {
    condition = jsondecode(aws_cloudformation_stack.this.template_body).Resources.Extensions == {
      Type = "Custom::PostgresExtensions"
      Properties = {
        ServiceToken   = "arn:aws:lambda:eu-central-1:123456789012:function:postgres-extensions"
        ServiceTimeout = 1200
        DBSecret       = "app/database"
        PluginsMap = {
          PostGIS   = { Version = "3.4.3", Schema = "gis" }
          citext    = { Schema = "text" }
          hstore    = "1.10"
          uuid-ossp = "any"
          pg_trgm   = "any"
        }
        Databases       = ["a,b", "c"]
        Port            = 6432
        Authentication  = "Password"
        SslMode         = "verify-full"
        RemovalPolicy   = "Retain"
        DowngradePolicy = "Fail"
        DryRun          = true
      }
    }
    error_message = aws_cloudformation_stack.this.template_body
  }
  assert {
    condition = jsondecode(aws_cloudformation_stack.this.template_body).Outputs.Versions.Value == {
      "Fn::Join" = ["; ", [
        for name in ["citext", "hstore", "pg_trgm", "postgis", "uuid-ossp"] :
        { "Fn::Join" = [" ", [name, { "Fn::GetAtt" = ["Extensions", name] }]] }
      ]]
    }
    error_message = aws_cloudformation_stack.this.template_body
  }
  assert {
    # A request and its rollback take 2 x 1200 s.
    condition     = aws_cloudformation_stack.this.timeouts.create == "50m" && aws_cloudformation_stack.this.timeouts.update == "70m"
    error_message = jsonencode(aws_cloudformation_stack.this.timeouts)
  }
}

run "extensions_of_another_database_alone_have_no_versions" {
  variables {
    extensions_from = "app/template"
  }

  assert {
    condition     = !can(jsondecode(aws_cloudformation_stack.this.template_body).Outputs.Versions)
    error_message = aws_cloudformation_stack.this.template_body
  }
}

run "iam_needs_no_secret" {
  command = plan

  variables {
    secret         = null
    authentication = "IAM"
    host           = "app.example.eu-central-1.rds.amazonaws.com"
    username       = "deployer"
  }

  assert {
    condition     = !can(jsondecode(aws_cloudformation_stack.this.template_body).Resources.Extensions.Properties.DBSecret)
    error_message = aws_cloudformation_stack.this.template_body
  }
}

run "a_number_is_no_version" {
  command = plan
  variables {
    extensions = { hstore = 1.10 }
  }
  expect_failures = [var.extensions]
}

run "a_number_in_braces_is_no_version" {
  command = plan
  variables {
    extensions = { hstore = { version = 1.10 } }
  }
  expect_failures = [var.extensions]
}

run "true_is_no_version" {
  command = plan
  variables {
    extensions = { hstore = true }
  }
  expect_failures = [var.extensions]
}

run "a_list_is_no_version" {
  command = plan
  variables {
    extensions = { hstore = ["1.8"] }
  }
  expect_failures = [var.extensions]
}

run "a_list_is_no_map" {
  command = plan
  variables {
    extensions = ["hstore"]
  }
  expect_failures = [var.extensions]
}

run "an_unknown_key_is_refused" {
  command = plan
  variables {
    extensions = { hstore = { version = "1.8", shema = "tools" } }
  }
  expect_failures = [var.extensions]
}

run "a_bare_star_is_refused" {
  command = plan
  variables {
    extensions = { hstore = "*" }
  }
  expect_failures = [var.extensions]
}

run "a_bare_star_in_braces_is_refused" {
  command = plan
  variables {
    extensions = { hstore = { version = "*" } }
  }
  expect_failures = [var.extensions]
}

run "two_names_of_one_extension_are_refused" {
  command = plan
  variables {
    extensions = { hstore = "1.8", HStore = "1.8" }
  }
  expect_failures = [var.extensions]
}

run "a_secret_is_needed" {
  command = plan
  variables {
    secret = null
  }
  expect_failures = [var.secret]
}

run "iam_without_a_secret_needs_a_host" {
  command = plan
  variables {
    secret         = null
    authentication = "IAM"
    username       = "deployer"
  }
  expect_failures = [var.secret]
}

run "policies_and_modes_are_known_ones" {
  command = plan
  variables {
    authentication   = "Iam"
    ssl_mode         = "prefer"
    removal_policy   = "Delete"
    downgrade_policy = "Ignore"
  }
  expect_failures = [var.authentication, var.ssl_mode, var.removal_policy, var.downgrade_policy]
}

run "numbers_have_limits" {
  command = plan
  variables {
    service_timeout = 3601
    port            = 0
  }
  expect_failures = [var.service_timeout, var.port]
}

run "every_database_is_alone" {
  command = plan
  variables {
    databases = ["*", "app"]
  }
  expect_failures = [var.databases]
}

run "a_certificate_is_no_path" {
  command = plan
  variables {
    ssl_root_cert = "root.pem"
  }
  expect_failures = [var.ssl_root_cert]
}

run "a_function_is_named_by_its_whole_arn" {
  command = plan
  variables {
    service_token = "postgres-extensions"
  }
  expect_failures = [var.service_token]
}

run "a_stack_has_a_name_that_cloudformation_allows" {
  command = plan
  variables {
    name = "app_extensions"
  }
  expect_failures = [var.name]
}
