//! The parameters of the driver for Azure's blob storage (`azure`), of registry 2.8 and 3, and of GitLab's.
//!
//! Read as `registry/storage/driver/azure/` of distribution reads them.

use std::fmt;

use serde_yaml::Value;

use super::parameters::Parameters;
use crate::error::Error;

/// A container of Azure's blob storage, and how to reach it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Azure {
    /// `accountname`.
    pub account: String,
    /// `container`.
    pub container: String,
    /// `serviceurl`; that of the account in `realm` if not given. Without a slash at its end.
    pub service_url: String,
    /// What all names begin with, apart from a slash: `rootdirectory` without slashes around it. Empty for the whole
    /// container.
    pub root: String,
    /// Whether the names of blobs begin with a slash, as registry 2.8 writes them: `legacyrootprefix`, or the opposite
    /// of `trimlegacyrootprefix`, of GitLab's registry. `None` if neither is set: then both are tried.
    pub leading_slash: Option<bool>,
    pub(crate) credentials: AzureCredentials,
    /// The variables of the environment from which the default credentials are taken.
    pub(crate) environment: Vec<(String, String)>,
}

/// Where the credentials for Azure come from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum AzureCredentials {
    /// `accountkey`.
    SharedKey(String),
    /// `credentials.type` is `client_secret`.
    ClientSecret { tenant: String, client: String, secret: String },
    /// `credentials.type` is `default_credentials`: the environment, or the machine's identity.
    Default,
}

impl fmt::Debug for Azure {
    /// Secrets are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, container, service_url, root, leading_slash, .. } = self;
        f.debug_struct("Azure")
            .field("account", account)
            .field("container", container)
            .field("service_url", service_url)
            .field("root", root)
            .field("leading_slash", leading_slash)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, container, root, .. } = self;
        let slash = if root.is_empty() { "" } else { "/" };
        write!(f, "azure://{account}/{container}{slash}{root}")
    }
}

impl Azure {
    /// Reads the parameters of a driver of this name.
    pub(super) fn read(driver: &str, parameters: &Value) -> Result<Self, Error> {
        let parameters = Parameters::of(driver, parameters)?;
        let account = parameters.required("accountname")?;
        let realm = parameters.text("realm")?.unwrap_or_else(|| "core.windows.net".to_owned());
        let service_url = parameters.text("serviceurl")?.unwrap_or_else(|| format!("https://{account}.blob.{realm}"));
        if service_url.contains(['?', '@']) || !service_url.contains("://") {
            return Err(parameters.invalid("serviceurl", "is not a URL, or has parts other than scheme, host and path"));
        }
        Ok(Self {
            account,
            container: parameters.required("container")?,
            service_url: service_url.trim_end_matches('/').to_owned(),
            root: parameters.root()?,
            leading_slash: leading_slash(&parameters)?,
            credentials: AzureCredentials::read(&parameters)?,
            environment: Vec::new(),
        })
    }

    /// Whether credentials may come from a variable of the environment.
    pub(super) fn takes(variable: &str) -> bool {
        variable.starts_with("AZURE_") || matches!(variable, "IDENTITY_ENDPOINT" | "MSI_ENDPOINT")
    }
}

fn leading_slash(parameters: &Parameters<'_>) -> Result<Option<bool>, Error> {
    let trimmed = parameters.switch("trimlegacyrootprefix")?.map(|trimmed| !trimmed);
    let legacy = parameters.switch("legacyrootprefix")?;
    match (legacy, trimmed) {
        (Some(legacy), Some(trimmed)) if legacy != trimmed => {
            Err(parameters.invalid("legacyrootprefix", "contradicts trimlegacyrootprefix"))
        }
        (legacy, trimmed) => Ok(legacy.or(trimmed)),
    }
}

impl AzureCredentials {
    fn read(parameters: &Parameters<'_>) -> Result<Self, Error> {
        let account_key = parameters.text("accountkey")?;
        let credentials = parameters.below("credentials")?;
        // Registry 2.8 knows only the key.
        let kind = credentials.text("type")?.or_else(|| account_key.as_ref().map(|_| "shared_key".to_owned()));
        match kind.as_deref() {
            Some("shared_key") => match account_key {
                Some(key) => Ok(Self::SharedKey(key)),
                None => Err(parameters.invalid("accountkey", "is not set, and credentials.type is shared_key")),
            },
            Some("client_secret") => Ok(Self::ClientSecret {
                tenant: credentials.required("tenantid")?,
                client: credentials.required("clientid")?,
                secret: credentials.required("secret")?,
            }),
            Some("default_credentials") => Ok(Self::Default),
            Some(kind) => Err(credentials
                .invalid("type", format_args!("is {kind:?}, not shared_key, client_secret or default_credentials"))),
            None => Err(credentials.invalid("type", "is not set, and neither is accountkey")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Azure, Error> {
        Azure::read("azure", &serde_yaml::from_str(text).unwrap())
    }

    #[test]
    fn parameters_are_those_of_both_generations() {
        let old = read("{accountname: a, accountkey: aGlkZGVu, container: c}").unwrap();
        assert_eq!(old.service_url, "https://a.blob.core.windows.net");
        assert_eq!((&*old.to_string(), old.leading_slash), ("azure://a/c", None));
        assert!(old.credentials == AzureCredentials::SharedKey("aGlkZGVu".to_owned()));
        let new = read(
            "{accountname: a, container: c, rootdirectory: /r/, serviceurl: 'http://h:1/a/', trimlegacyrootprefix: true, \
             credentials: {type: client_secret, tenantid: t, clientid: c, secret: s}}",
        );
        let new = new.unwrap();
        assert_eq!((&*new.to_string(), &*new.service_url), ("azure://a/c/r", "http://h:1/a"));
        assert_eq!(new.leading_slash, Some(false));
        let secret = ["t", "c", "s"].map(str::to_owned);
        let [tenant, client, secret] = secret;
        assert!(new.credentials == AzureCredentials::ClientSecret { tenant, client, secret });
        let realm = read(
            "{accountname: a, container: c, realm: core.chinacloudapi.cn, credentials: {type: default_credentials}}",
        );
        assert_eq!(realm.unwrap().service_url, "https://a.blob.core.chinacloudapi.cn");
    }

    #[test]
    fn errors_name_the_key() {
        for (parameters, key) in [
            ("{accountkey: k, container: c}", "storage.azure.accountname"),
            ("{accountname: a, accountkey: k}", "storage.azure.container"),
            ("{accountname: a, container: c}", "storage.azure.credentials.type"),
            ("{accountname: a, container: c, credentials: {type: shared_key}}", "storage.azure.accountkey"),
            ("{accountname: a, container: c, credentials: {type: sas}}", "storage.azure.credentials.type"),
            (
                "{accountname: a, container: c, credentials: {type: client_secret}}",
                "storage.azure.credentials.tenantid",
            ),
            (
                "{accountname: a, accountkey: k, container: c, serviceurl: 'https://h?sig=x'}",
                "storage.azure.serviceurl",
            ),
            (
                "{accountname: a, accountkey: k, container: c, legacyrootprefix: true, trimlegacyrootprefix: true}",
                "storage.azure.legacyrootprefix",
            ),
        ] {
            let error = read(parameters).unwrap_err().to_string();
            assert!(error.contains(key), "{parameters}: {error}");
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let azure = read("{accountname: a, accountkey: hidden, container: c}").unwrap();
        assert!(!format!("{azure:?}{azure}").contains("hidden"));
    }
}
