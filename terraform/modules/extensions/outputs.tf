locals {
  # Without outputs where the stack is not whole.
  reported = coalesce(aws_cloudformation_stack.this.outputs, {})
}

output "versions" {
  description = "Installed version of each extension that the map names, in lower case, but for those that are absent; mixed where databases differ."
  value = {
    for pair in try(split(local.separator, local.reported["Versions"]), []) :
    split(" ", pair)[0] => split(" ", pair)[1]
  }
}

output "changed" {
  description = "Whether the last request changed anything."
  value       = try(tobool(local.reported["Changed"]), null)
}

output "changes" {
  description = "What the last request changed, or none."
  value       = try(local.reported["Changes"], null)
}

output "before" {
  description = "Every extension that was installed before the last request."
  value       = try(local.reported["Before"], null)
}

output "after" {
  description = "Every extension that was installed after it."
  value       = try(local.reported["After"], null)
}

output "server_version" {
  description = "Version of PostgreSQL."
  value       = try(local.reported["ServerVersion"], null)
}

output "physical_resource_id" {
  description = "The resource's id in CloudFormation."
  value       = try(local.reported["PhysicalResourceId"], null)
}

output "stack_id" {
  description = "ARN of the stack."
  value       = aws_cloudformation_stack.this.id
}
