//! Where the credentials for Google Cloud Storage come from: the configuration, the environment, or the machine.

use std::path::Path;

use object_store::gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder};
use serde_json::Value;

use super::super::http::without_urls;
use crate::error::Error;
use crate::registry::config;

/// Returns what provides credentials, in the registry's order.
pub(super) fn provider(config: &config::Gcs) -> Result<GcpCredentialProvider, Error> {
    let builder = GoogleCloudStorageBuilder::new().with_bucket_name(&config.bucket);
    let default = config.environment.iter().find(|(name, _)| name == "GOOGLE_APPLICATION_CREDENTIALS");
    let builder = match (&config.key_file, &config.key) {
        (Some(path), _) => builder.with_service_account_key(in_file(path)?),
        (None, Some(key)) => builder.with_service_account_key(service_account(
            key.iter().map(|(name, text)| (name.clone(), text.clone().into())).collect(),
            "storage.gcs.credentials",
        )?),
        (None, None) => match default {
            Some((_, path)) => builder.with_application_credentials(path),
            None => builder,
        },
    };
    let failed = |error| Error::Config(format!("no credentials for {config}: {}", without_urls(&error)));
    Ok(builder.build().map_err(failed)?.credentials().clone())
}

/// Reads the key of a service account.
fn in_file(path: &Path) -> Result<String, Error> {
    let name = format!("storage.gcs.keyfile {}", path.display());
    let failed = |reason: String| Error::Config(format!("{name}: {reason}"));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    // What is wrong with it is not shown: that may show a part of it.
    let key = serde_json::from_str(&text).map_err(|_| failed("it is no JSON object".to_owned()))?;
    service_account(key, &name)
}

/// Returns what is needed of the key of a service account.
fn service_account(key: serde_json::Map<String, Value>, name: &str) -> Result<String, Error> {
    let text = |field: &str| match key.get(field).and_then(Value::as_str) {
        Some(text) => Ok((field.to_owned(), Value::from(text))),
        None => Err(Error::Config(format!("{name} is no key of a service account: it has no {field}"))),
    };
    let needed = [text("client_email")?, text("private_key")?, text("private_key_id")?];
    Ok(Value::Object(needed.into_iter().collect()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_of_a_key_is_used() {
        let key = serde_json::json!({
            "type": "service_account", "client_email": "a@b", "private_key": "p", "private_key_id": "i", "disable_oauth": true
        });
        let Value::Object(key) = key else { panic!("it is an object") };
        let used: Value = serde_json::from_str(&service_account(key, "n").unwrap()).unwrap();
        assert_eq!(used, serde_json::json!({"client_email": "a@b", "private_key": "p", "private_key_id": "i"}));
    }

    #[test]
    fn errors_name_what_is_missing_and_show_no_secret() {
        let key = serde_json::json!({"client_email": "a@b", "private_key": "hidden"});
        let Value::Object(key) = key else { panic!("it is an object") };
        let error = service_account(key, "n").unwrap_err().to_string();
        assert!(error.contains("private_key_id") && !error.contains("hidden"), "{error}");
        let error = in_file(Path::new("/absent/key.json")).unwrap_err().to_string();
        assert!(error.contains("storage.gcs.keyfile /absent/key.json"), "{error}");
    }
}
