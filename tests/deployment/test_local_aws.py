"""Nothing is left behind: not of a stack, not of the local AWS and the database server."""

import contextlib
import io
import zipfile

import local_aws
import postgres
import prerequisites


def test_the_stack_of_the_template_can_be_deployed_again_and_deleted(deployment):
    outcome = deployment.deploy(["permissions"], name="another")
    assert outcome.status == "CREATE_COMPLETE", outcome.reasons
    outcome = deployment.stacks.delete("another")
    assert outcome.status == "DELETE_COMPLETE", outcome.reasons


def test_nothing_remains_of_a_local_aws_whose_function_is_stuck():
    with local_aws.started() as aws:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as out:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o100755 << 16
            out.writestr(entry, "#!/bin/sh\nexec sleep 600\n")
        role = aws.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")
        aws_lambda = aws.client("lambda")
        aws_lambda.create_function(
            FunctionName="stuck",
            Role=role["Role"]["Arn"],
            Runtime="provided.al2023",
            Handler="bootstrap",
            Code={"ZipFile": archive.getvalue()},
        )
        aws_lambda.invoke(FunctionName="stuck", InvocationType="Event")

        def running():
            with contextlib.suppress(local_aws.Failure):
                return aws.function_process("stuck")

        aws.wait_for("the function runs", running)
    assert local_aws.remains(aws) == []


def test_nothing_remains_of_a_database_server():
    with postgres.cluster(bin=prerequisites.server()) as server:
        pass
    assert local_aws.remains(server) == []
