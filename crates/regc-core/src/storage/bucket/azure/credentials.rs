//! Where the credentials for Azure come from: the configuration, the environment, or the machine's identity.

use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::azure::{
    AzureAccessKey, AzureConfigKey, AzureCredential, AzureCredentialProvider, MicrosoftAzureBuilder,
};

use super::super::http::without_urls;
use crate::error::Error;
use crate::registry::config::{self, AzureCredentials};

/// Those variables of the environment that the default credentials are taken from, with their meaning here.
const DEFAULT: [(&str, AzureConfigKey); 6] = [
    ("AZURE_CLIENT_ID", AzureConfigKey::ClientId),
    ("AZURE_CLIENT_SECRET", AzureConfigKey::ClientSecret),
    ("AZURE_TENANT_ID", AzureConfigKey::AuthorityId),
    ("AZURE_FEDERATED_TOKEN_FILE", AzureConfigKey::FederatedTokenFile),
    ("IDENTITY_ENDPOINT", AzureConfigKey::MsiEndpoint),
    ("MSI_ENDPOINT", AzureConfigKey::MsiEndpoint),
];

/// Returns what provides credentials.
pub(super) fn provider(config: &config::Azure) -> Result<AzureCredentialProvider, Error> {
    let variable = |name: &str| {
        let found = config.environment.iter().find(|(variable, _)| variable == name);
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    let mut builder = MicrosoftAzureBuilder::new().with_account(&config.account).with_container_name(&config.container);
    // Of another cloud.
    if let Some(host) = variable("AZURE_AUTHORITY_HOST") {
        builder = builder.with_authority_host(host.trim_end_matches('/'));
    }
    let builder = match &config.credentials {
        AzureCredentials::SharedKey(key) => {
            let key = AzureAccessKey::try_new(key.trim())
                .map_err(|_| Error::Config("storage.azure.accountkey is not valid base64".to_owned()))?;
            return Ok(Arc::new(StaticCredentialProvider::new(AzureCredential::AccessKey(key))));
        }
        AzureCredentials::ClientSecret { tenant, client, secret } => {
            builder.with_client_secret_authorization(client, secret, tenant)
        }
        AzureCredentials::Default
            if variable("AZURE_CLIENT_CERTIFICATE_PATH").is_some() && variable("AZURE_CLIENT_SECRET").is_none() =>
        {
            return Err(Error::Config("AZURE_CLIENT_CERTIFICATE_PATH: certificates are not supported".to_owned()));
        }
        AzureCredentials::Default => DEFAULT.into_iter().fold(builder, |builder, (name, key)| match variable(name) {
            Some(value) => builder.with_config(key, value),
            None => builder,
        }),
    };
    let failed = |error| Error::Config(format!("no credentials for {config}: {}", without_urls(&error)));
    Ok(builder.build().map_err(failed)?.credentials().clone())
}
