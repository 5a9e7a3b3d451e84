//! Where the credentials for Google Cloud Storage come from: the configuration, the environment, or the machine.

use std::path::Path;

use object_store::gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder};
use serde_json::Value;

use crate::error::Error;
use crate::registry::config;

/// Returns what provides credentials, in the registry's order.
pub(super) fn provider(config: &config::Gcs) -> Result<GcpCredentialProvider, Error> {
    let builder = GoogleCloudStorageBuilder::new().with_bucket_name(&config.bucket);
    let default = config.environment.iter().find(|(name, value)| name == DEFAULT && !value.is_empty());
    let (name, builder) = match (&config.key_file, &config.key, default) {
        (Some(path), _, _) => {
            let name = format!("storage.gcs.keyfile {}", path.display());
            let key = service_account(&in_file(path, &name)?, &name)?;
            (name, builder.with_service_account_key(key))
        }
        (None, Some(key), _) => {
            let name = "storage.gcs.credentials".to_owned();
            let key = key.iter().map(|(name, text)| (name.clone(), text.clone().into())).collect();
            let key = service_account(&key, &name)?;
            (name, builder.with_service_account_key(key))
        }
        (None, None, Some((_, path))) => {
            let name = format!("{DEFAULT} {path}");
            let key = in_file(Path::new(path), &name)?;
            match key.get("type").and_then(Value::as_str) {
                Some("service_account") => {
                    let key = service_account(&key, &name)?;
                    (name, builder.with_service_account_key(key))
                }
                _ => (name, builder.with_application_credentials(path)),
            }
        }
        (None, None, None) => ("the machine's default credentials".to_owned(), builder),
    };
    // Why a key is none may show a part of it.
    let failed =
        |_| Error::Config(format!("{name}: not a usable key; its private_key must be complete, with its line breaks"));
    Ok(builder.build().map_err(failed)?.credentials().clone())
}

/// The variable that names a file with credentials.
const DEFAULT: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// Reads the credentials in a file.
fn in_file(path: &Path, name: &str) -> Result<serde_json::Map<String, Value>, Error> {
    let failed = |reason: String| Error::Config(format!("{name}: {reason}"));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    // What is wrong with it is not shown, either.
    serde_json::from_str(&text).map_err(|_| failed("it is not a JSON object".to_owned()))
}

/// Returns what is needed of the key of a service account.
fn service_account(key: &serde_json::Map<String, Value>, name: &str) -> Result<String, Error> {
    let text = |field: &str| match key.get(field).and_then(Value::as_str) {
        Some(text) => Ok((field.to_owned(), Value::from(text))),
        None => Err(Error::Config(format!("{name} is not a key of a service account: it has no {field}"))),
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
        let used: Value = serde_json::from_str(&service_account(&key, "n").unwrap()).unwrap();
        assert_eq!(used, serde_json::json!({"client_email": "a@b", "private_key": "p", "private_key_id": "i"}));
    }

    #[test]
    fn errors_name_what_is_missing_and_show_no_secret() {
        let key = serde_json::json!({"client_email": "a@b", "private_key": "hidden"});
        let Value::Object(key) = key else { panic!("it is an object") };
        let error = service_account(&key, "n").unwrap_err().to_string();
        assert!(error.contains("private_key_id") && !error.contains("hidden"), "{error}");
        let error = in_file(Path::new("/absent/key.json"), "n").unwrap_err().to_string();
        assert!(error.contains("n: No such file"), "{error}");
    }

    #[test]
    fn a_key_that_is_none_is_not_shown() {
        for key in [
            "-----BEGIN PRIVATE KEY----- hidden -----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nhidden",
            "hidden",
        ] {
            let text = format!(
                "version: 0.1\nstorage: {{gcs: {{bucket: b, credentials: {{client_email: a@b, private_key_id: i, private_key: {}}}}}}}",
                serde_json::to_string(key).unwrap()
            );
            let config::Driver::Gcs(gcs) = config::Config::parse(&text, []).unwrap().driver else {
                panic!("it is Google's")
            };
            let error = provider(&gcs).map(|_| ()).unwrap_err().to_string();
            assert!(
                error.contains("storage.gcs.credentials") && !error.contains("hidden") && !error.contains('['),
                "{error}"
            );
        }
    }
}
