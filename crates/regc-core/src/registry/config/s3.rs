//! The parameters of the driver for S3 (`s3`, `s3aws`), of registry 2.8 and 3.
//!
//! Read as `registry/storage/driver/s3-aws/s3.go` of distribution reads them.

use std::fmt;

use serde_yaml::Value;

use super::parameters::Parameters;
use crate::error::Error;

/// A bucket of S3, and how to reach it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct S3 {
    /// `bucket`.
    pub bucket: String,
    /// `region`; `us-east-1` if only an endpoint is given.
    pub region: String,
    /// `regionendpoint`, with its scheme; AWS's endpoint of the region if not given.
    pub endpoint: Option<String>,
    /// Whether the bucket's name is in the path of a URL, and not in its host.
    pub path_style: bool,
    /// `skipverify`: whether any certificate is accepted.
    pub skip_verify: bool,
    /// `usedualstack`: whether AWS's endpoint is one that has IPv6 addresses as well.
    pub dual_stack: bool,
    /// `usefipsendpoint`: whether AWS's endpoint is one with certified cryptography.
    pub fips: bool,
    /// What all keys begin with: `rootdirectory` without slashes around it. Empty for the whole bucket.
    pub root: String,
    /// `accesskey` and `secretkey`, if both are given.
    pub(crate) key: Option<(String, String)>,
    /// The variables of the environment from which credentials are taken otherwise: those that begin with `AWS_`, and
    /// `HOME`.
    pub(crate) environment: Vec<(String, String)>,
}

impl fmt::Debug for S3 {
    /// Secrets are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, region, endpoint, path_style, skip_verify, root, .. } = self;
        f.debug_struct("S3")
            .field("bucket", bucket)
            .field("region", region)
            .field("endpoint", endpoint)
            .field("path_style", path_style)
            .field("skip_verify", skip_verify)
            .field("root", root)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, root, .. } = self;
        if root.is_empty() { write!(f, "s3://{bucket}") } else { write!(f, "s3://{bucket}/{root}") }
    }
}

impl S3 {
    /// Reads the parameters of a driver of this name.
    pub(super) fn read(driver: &str, parameters: &Value) -> Result<Self, Error> {
        let parameters = Parameters::of(driver, parameters)?;
        let bucket = parameters.required("bucket")?;
        if bucket.contains(['/', '?', '#', ' ']) {
            return Err(parameters.invalid("bucket", "is not a valid bucket name"));
        }
        let secure = parameters.switch("secure")?.unwrap_or(true);
        let endpoint = parameters.text("regionendpoint")?.map(|endpoint| match endpoint.contains("://") {
            true => endpoint,
            false if secure => format!("https://{endpoint}"),
            false => format!("http://{endpoint}"),
        });
        if endpoint.as_ref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            return Err(parameters.invalid("regionendpoint", "does not begin with http:// or https://"));
        }
        if endpoint.as_ref().is_some_and(|endpoint| endpoint.contains('@')) {
            return Err(
                parameters.invalid("regionendpoint", "contains a user name; set accesskey and secretkey instead")
            );
        }
        let region = match (parameters.text("region")?, &endpoint) {
            (Some(region), _) => region,
            (None, Some(_)) => "us-east-1".to_owned(),
            (None, None) => return Err(parameters.invalid("region", "is not set, and neither is regionendpoint")),
        };
        if parameters.switch("v4auth")? == Some(false) {
            return Err(parameters.invalid("v4auth", "is false: only signatures of version 4 are supported"));
        }
        // Registry 2.8 knows no `forcepathstyle`, and an endpoint forces it there.
        let path_style = parameters.switch("forcepathstyle")?.unwrap_or(endpoint.is_some());
        Ok(Self {
            bucket,
            region,
            endpoint,
            path_style,
            skip_verify: parameters.switch("skipverify")?.unwrap_or(false),
            dual_stack: parameters.switch("usedualstack")?.unwrap_or(false),
            fips: parameters.switch("usefipsendpoint")?.unwrap_or(false),
            root: parameters.root()?,
            key: parameters.text("accesskey")?.zip(parameters.text("secretkey")?),
            environment: Vec::new(),
        })
    }

    /// Whether credentials may come from a variable of the environment.
    pub(super) fn takes(variable: &str) -> bool {
        variable.starts_with("AWS_") || variable == "HOME"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<S3, Error> {
        S3::read("s3", &serde_yaml::from_str(text).unwrap())
    }

    #[test]
    fn root_has_no_slashes_around_it() {
        for (root, trimmed) in [("/sub/dir", "sub/dir"), ("sub/", "sub"), ("/", ""), ("''", "")] {
            let parameters = format!("{{bucket: b, region: r, rootdirectory: {root}}}");
            assert_eq!(read(&parameters).unwrap().root, trimmed, "{root}");
        }
    }

    #[test]
    fn errors_name_the_key() {
        for (parameters, key) in [
            ("{region: r}", "storage.s3.bucket"),
            ("{bucket: b}", "storage.s3.region"),
            ("{bucket: b, region: r, v4auth: false}", "storage.s3.v4auth"),
            ("{bucket: b, region: r, secure: maybe}", "storage.s3.secure"),
            ("{bucket: b, region: r, skipverify: 1}", "storage.s3.skipverify"),
            ("{bucket: [b], region: r}", "storage.s3.bucket"),
            ("{bucket: b/c, region: r}", "storage.s3.bucket"),
            ("{bucket: 'b?x=1', region: r}", "storage.s3.bucket"),
            ("{bucket: b, regionendpoint: 'ftp://h'}", "storage.s3.regionendpoint"),
            ("{bucket: b, region: r, rootdirectory: a/../b}", "storage.s3.rootdirectory"),
        ] {
            let error = read(parameters).unwrap_err().to_string();
            assert!(error.contains(key), "{parameters}: {error}");
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let environment = [("AWS_SECRET_ACCESS_KEY".to_owned(), "hidden".to_owned())];
        let text = "{bucket: b, region: r, accesskey: hidden, secretkey: hidden}";
        let mut s3 = read(text).unwrap();
        s3.environment.extend(environment);
        assert!(!format!("{s3:?}{s3}").contains("hidden"));
        assert_eq!(s3.key, Some(("hidden".to_owned(), "hidden".to_owned())));
    }
}
