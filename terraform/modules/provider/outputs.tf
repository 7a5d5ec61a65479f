output "service_token" {
  description = "ARN of the function, for the module extensions and for CloudFormation's ServiceToken."
  value       = aws_cloudformation_stack.this.outputs["ServiceToken"]
}

output "role_arn" {
  description = "ARN of the function's role, for the policies of secrets and keys."
  value       = aws_cloudformation_stack.this.outputs["RoleArn"]
}

output "stack_id" {
  description = "ARN of the stack."
  value       = aws_cloudformation_stack.this.id
}
