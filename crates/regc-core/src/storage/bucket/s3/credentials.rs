//! Where the credentials for S3 come from: the configuration, the environment, the shared file, or the instance.

use std::fs;
use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider};

use super::super::http::without_urls;
use crate::error::Error;
use crate::registry::config;

/// Returns what provides credentials, in the registry's order.
pub(super) fn provider(config: &config::S3) -> Result<AwsCredentialProvider, Error> {
    let fixed = |(key_id, secret_key, token): (String, String, Option<String>)| -> AwsCredentialProvider {
        // As a file ends that a secret was put into.
        let trimmed = |text: String| text.trim().to_owned();
        let (key_id, secret_key, token) = (trimmed(key_id), trimmed(secret_key), token.map(trimmed));
        Arc::new(StaticCredentialProvider::new(AwsCredential { key_id, secret_key, token }))
    };
    if let Some((key, secret)) = config.key.clone() {
        return Ok(fixed((key, secret, None)));
    }
    let variable = |names: &[&str]| {
        let value = |name: &&str| config.environment.iter().find(|(variable, _)| variable == name);
        names.iter().filter_map(value).map(|(_, value)| value.clone()).find(|value| !value.is_empty())
    };
    let key = variable(&["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"]);
    if let Some((key, secret)) = key.zip(variable(&["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"])) {
        return Ok(fixed((key, secret, variable(&["AWS_SESSION_TOKEN"]))));
    }
    let home = || variable(&["HOME"]).map(|home| format!("{home}/.aws/credentials"));
    if let Some(path) = variable(&["AWS_SHARED_CREDENTIALS_FILE"]).or_else(home)
        && let Ok(text) = fs::read_to_string(&path)
    {
        let profile = variable(&["AWS_PROFILE"]).unwrap_or_else(|| "default".to_owned());
        if let Some(found) = in_profile(&text, &profile) {
            return Ok(fixed(found));
        }
    }
    let mut builder = AmazonS3Builder::new().with_bucket_name(&config.bucket).with_region(&config.region);
    for (name, value) in &config.environment {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let failed = |error| Error::Config(format!("no credentials for {config}: {}", without_urls(&error)));
    Ok(builder.build().map_err(failed)?.credentials().clone())
}

/// Returns the key, the secret and the token of a profile in the shared file of credentials.
fn in_profile(text: &str, profile: &str) -> Option<(String, String, Option<String>)> {
    let mut is_in_profile = false;
    let (mut key, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_in_profile = name.trim() == profile;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| is_in_profile) {
            let value = value.trim().to_owned();
            match name.trim() {
                "aws_access_key_id" => key = Some(value),
                "aws_secret_access_key" => secret = Some(value),
                "aws_session_token" => token = Some(value),
                _ => {}
            }
        }
    }
    Some((key?, secret?, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_from_the_shared_file() {
        let text = "# comment\n[default]\naws_access_key_id = a\naws_secret_access_key=b=\n\
            [other]\naws_access_key_id=c\naws_secret_access_key=d\naws_session_token = e\n";
        assert_eq!(in_profile(text, "default"), Some(("a".to_owned(), "b=".to_owned(), None)));
        assert_eq!(in_profile(text, "other"), Some(("c".to_owned(), "d".to_owned(), Some("e".to_owned()))));
        assert_eq!(in_profile(text, "absent"), None);
    }
}
