//! How AWS is reached: the SDK's own environment variables.
//!
//! Lambda gives a function its region and its credentials in the environment, and there is no other
//! place to look: `aws-config`, which knows them all, would be a tenth of the binary.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Config, Region};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

/// Reads the environment; `variable` gives a variable's value, and none if it is empty.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The function's region: `AWS_REGION`, else `AWS_DEFAULT_REGION`.
pub fn region(variable: Environment) -> Option<String> {
    variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"))
}

/// The function's own credentials: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
/// `AWS_SESSION_TOKEN`.
pub fn credentials(variable: Environment) -> Option<SharedCredentialsProvider> {
    let (id, key) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
    let token = variable("AWS_SESSION_TOKEN");
    Some(SharedCredentialsProvider::new(Credentials::new(id, key, token, None, "environment")))
}

/// Secrets Manager, over `http`; without retries of its own, which are ours.
pub fn secrets_manager(variable: Environment, http: SharedHttpClient) -> Client {
    let is_true =
        |name: &str| variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let endpoint = variable("AWS_ENDPOINT_URL_SECRETS_MANAGER")
        .or_else(|| variable("AWS_ENDPOINT_URL"))
        .filter(|_| !is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"));
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .region(region(variable).map(Region::new))
        .use_fips(is_true("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(is_true("AWS_USE_DUALSTACK_ENDPOINT"));
    config.set_endpoint_url(endpoint);
    config.set_credentials_provider(credentials(variable));
    Client::from_conf(config.build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::provider::ProvideCredentials;

    #[tokio::test]
    async fn credentials_are_the_environment_s() {
        let whole = |name: &str| Some(format!("the {name}"));
        let provider = credentials(&whole).expect("credentials");
        let found = provider.provide_credentials().await.expect("credentials");
        assert_eq!(found.access_key_id(), "the AWS_ACCESS_KEY_ID");
        assert_eq!(found.session_token(), Some("the AWS_SESSION_TOKEN"));
        let half = |name: &str| (name == "AWS_ACCESS_KEY_ID").then(|| "x".to_owned());
        assert!(credentials(&half).is_none());
    }

    #[test]
    fn the_region_has_two_names() {
        let default = |name: &str| (name == "AWS_DEFAULT_REGION").then(|| "eu-west-1".to_owned());
        assert_eq!(region(&default).as_deref(), Some("eu-west-1"));
    }
}
