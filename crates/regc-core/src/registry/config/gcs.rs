//! The parameters of the driver for Google Cloud Storage (`gcs`), of registry 2.8 and 3.
//!
//! Read as `registry/storage/driver/gcs/gcs.go` of distribution reads them.

use std::fmt;
use std::path::PathBuf;

use serde_yaml::Value;

use super::parameters::Parameters;
use crate::error::Error;

/// A bucket of Google Cloud Storage, and how to reach it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gcs {
    /// `bucket`.
    pub bucket: String,
    /// What all keys begin with: `rootdirectory` without slashes around it. Empty for the whole bucket.
    pub root: String,
    /// `keyfile`: the file with the key of a service account.
    pub key_file: Option<PathBuf>,
    /// `credentials`: the same, in the configuration, if no file is given.
    pub(crate) key: Option<Vec<(String, String)>>,
    /// The variables of the environment from which credentials are taken otherwise, and `STORAGE_EMULATOR_HOST`.
    pub(crate) environment: Vec<(String, String)>,
}

impl fmt::Debug for Gcs {
    /// Secrets are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, root, key_file, .. } = self;
        f.debug_struct("Gcs")
            .field("bucket", bucket)
            .field("root", root)
            .field("key_file", key_file)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Gcs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, root, .. } = self;
        if root.is_empty() { write!(f, "gs://{bucket}") } else { write!(f, "gs://{bucket}/{root}") }
    }
}

impl Gcs {
    /// Reads the parameters of a driver of this name.
    pub(super) fn read(driver: &str, parameters: &Value) -> Result<Self, Error> {
        let parameters = Parameters::of(driver, parameters)?;
        let key_file = parameters.text("keyfile")?.map(PathBuf::from);
        Ok(Self {
            bucket: parameters.required("bucket")?,
            root: parameters.root()?,
            key: parameters.below("credentials")?.texts()?.filter(|_| key_file.is_none()),
            key_file,
            environment: Vec::new(),
        })
    }

    /// Whether credentials, or the server, may come from a variable of the environment.
    pub(super) fn takes(variable: &str) -> bool {
        matches!(variable, "GOOGLE_APPLICATION_CREDENTIALS" | "STORAGE_EMULATOR_HOST")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Gcs, Error> {
        Gcs::read("gcs", &serde_yaml::from_str(text).unwrap())
    }

    #[test]
    fn parameters_are_those_of_the_registry() {
        let gcs = read("{bucket: b, rootdirectory: /a/b/, keyfile: /key.json, credentials: {type: t}}").unwrap();
        assert_eq!((&*gcs.to_string(), gcs.key_file, gcs.key), ("gs://b/a/b", Some("/key.json".into()), None));
        let gcs = read("{bucket: b, credentials: {private_key_id: 7, client_email: a@b}}").unwrap();
        let key =
            [("private_key_id", "7"), ("client_email", "a@b")].map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!((&*gcs.root, gcs.key), ("", Some(key.into())));
    }

    #[test]
    fn errors_name_the_key() {
        for (parameters, key) in [
            ("{}", "storage.gcs.bucket"),
            ("{bucket: b, rootdirectory: a//b}", "storage.gcs.rootdirectory"),
            ("{bucket: b, credentials: text}", "storage.gcs.credentials"),
            ("{bucket: b, credentials: {private_key: [a]}}", "storage.gcs.credentials"),
        ] {
            let error = read(parameters).unwrap_err().to_string();
            assert!(error.contains(key), "{parameters}: {error}");
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let gcs = read("{bucket: b, credentials: {private_key: hidden}}").unwrap();
        assert!(!format!("{gcs:?}{gcs}").contains("hidden"));
    }
}
