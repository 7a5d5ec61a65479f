mock_provider "aws" {
  mock_resource "aws_cloudformation_stack" {
    defaults = {
      outputs = {
        ServiceToken = "arn:aws:lambda:eu-central-1:123456789012:function:postgres-extensions"
        RoleArn      = "arn:aws:iam::123456789012:role/postgres-extensions-Role"
      }
    }
  }
}

variables {
  bucket = "artifacts"
}

run "a_zip_is_uploaded_under_its_hash" {
  variables {
    zip         = "tests/code.txt"
    secret_arns = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:app-*", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:b-??????"]
    memory_size = 512
  }

  assert {
    condition     = aws_s3_object.code[0].key == "postgres-extensions/${filesha256("tests/code.txt")}/bootstrap.zip"
    error_message = aws_s3_object.code[0].key
  }
  assert {
    # Both functions have this code.
    condition     = length(split("CodeUri: ${jsonencode({ Bucket = "artifacts", Key = aws_s3_object.code[0].key })}\n", aws_cloudformation_stack.this.template_body)) == 3
    error_message = "The template does not name the zip for both functions."
  }
  assert {
    condition     = !strcontains(aws_cloudformation_stack.this.template_body, "CodeUri: .\n")
    error_message = "The template still has a folder as code."
  }
  assert {
    # Of others the template has the defaults.
    condition = aws_cloudformation_stack.this.parameters == tomap({
      SecretArns = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app-*,arn:aws:secretsmanager:eu-central-1:123456789012:secret:b-??????"
      MemorySize = "512"
    })
    error_message = jsonencode(aws_cloudformation_stack.this.parameters)
  }
  assert {
    condition     = length(aws_cloudformation_stack.this.template_body) <= 51200
    error_message = "CloudFormation takes a longer template from S3 alone."
  }
  assert {
    condition     = output.service_token == "arn:aws:lambda:eu-central-1:123456789012:function:postgres-extensions"
    error_message = output.service_token
  }
  assert {
    condition     = output.role_arn == "arn:aws:iam::123456789012:role/postgres-extensions-Role"
    error_message = output.role_arn
  }
}

run "an_object_that_is_there_is_used" {
  command = plan

  variables {
    key            = "releases/bootstrap.zip"
    object_version = "abc"
  }

  assert {
    condition     = length(aws_s3_object.code) == 0
    error_message = "Something is uploaded."
  }
  assert {
    condition     = strcontains(aws_cloudformation_stack.this.template_body, "CodeUri: {\"Bucket\":\"artifacts\",\"Key\":\"releases/bootstrap.zip\",\"Version\":\"abc\"}\n")
    error_message = "The template does not name the object and its version."
  }
}

run "code_is_needed" {
  command         = plan
  expect_failures = [var.zip]
}

run "code_is_a_file_or_an_object" {
  command = plan
  variables {
    zip = "tests/code.txt"
    key = "releases/bootstrap.zip"
  }
  expect_failures = [var.zip]
}

run "a_version_is_of_an_object" {
  command = plan
  variables {
    zip            = "tests/code.txt"
    object_version = "abc"
  }
  expect_failures = [var.object_version]
}

run "another_template_is_refused" {
  command = plan
  variables {
    key      = "releases/bootstrap.zip"
    template = "main.tf"
  }
  expect_failures = [aws_cloudformation_stack.this]
}

run "a_zip_of_another_processor_is_refused" {
  command = plan
  variables {
    key = "releases/cfn-postgres-extensions-x86_64.zip"
  }
  expect_failures = [aws_cloudformation_stack.this]
}

run "and_so_is_a_processor_that_the_zip_is_not_of" {
  command = plan
  variables {
    key          = "releases/cfn-postgres-extensions-arm64.zip"
    architecture = "x86_64"
  }
  expect_failures = [aws_cloudformation_stack.this]
}

run "a_zip_of_the_named_processor_is_used" {
  command = plan
  variables {
    key          = "releases/cfn-postgres-extensions-x86_64.zip"
    architecture = "x86_64"
  }

  assert {
    condition     = aws_cloudformation_stack.this.parameters["Architecture"] == "x86_64"
    error_message = jsonencode(aws_cloudformation_stack.this.parameters)
  }
}

run "a_network_has_security_groups" {
  command = plan
  variables {
    key        = "releases/bootstrap.zip"
    subnet_ids = ["subnet-0123"]
  }
  expect_failures = [var.subnet_ids]
}

run "a_name_leaves_room_for_the_second_function" {
  command = plan
  variables {
    key  = "releases/bootstrap.zip"
    name = "a0123456789012345678901234567890123456789012345678901234"
  }
  expect_failures = [var.name]
}
