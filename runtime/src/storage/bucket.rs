//! Opening a bucket. Endpoint, region and credentials come from the environment variables that the service's own tools
//! read. The client never tries again by itself: the journal does, says so and counts it, and it alone knows that a put
//! whose answer is lost may have been done.

#[cfg(feature = "cloud")]
use super::Service;
use super::{Bucket, Storage};
#[cfg(feature = "cloud")]
use object_store::{RetryConfig, prefix::PrefixStore};
#[cfg(feature = "cloud")]
use std::sync::Arc;
use stream::Fault;

impl Bucket {
    /// What lies below its prefix in these folders.
    pub(super) fn open(&self, folders: &[&str]) -> Result<Storage, Fault> {
        #[cfg(feature = "s3")]
        if self.service == Service::S3 {
            return self.below(folders, s3(&self.name));
        }
        #[cfg(feature = "gcs")]
        if self.service == Service::Gcs {
            return self.below(folders, gcs(&self.name));
        }
        #[cfg(feature = "azure")]
        if self.service == Service::Azure {
            return self.below(folders, azure(&self.name));
        }
        Err(self.not_built(folders))
    }

    fn not_built(&self, folders: &[&str]) -> Fault {
        let feature = self.service.missing_feature().unwrap_or("of that name");
        Fault::usage(
            format!("cannot open {} in {}://{}", folders.join("/"), self.service.scheme(), self.name),
            "this binary was built without it",
            format!("build with --features {feature}"),
        )
    }

    #[cfg(feature = "cloud")]
    fn below<S: object_store::ObjectStore>(
        &self,
        folders: &[&str],
        store: object_store::Result<S>,
    ) -> Result<Storage, Fault> {
        let scheme = self.service.scheme();
        let store = store.map_err(|error| {
            Fault::usage(
                format!("cannot use the bucket {scheme}://{}", self.name),
                error,
                "look at the environment variables with its endpoint, region and credentials",
            )
        })?;
        let mut path: Vec<&str> = self.prefix.split('/').filter(|part| !part.is_empty()).collect();
        path.extend(folders);
        Ok(Arc::new(PrefixStore::new(store, path.join("/"))))
    }
}

/// One attempt, and no more: see above.
#[cfg(feature = "cloud")]
fn once() -> RetryConfig {
    // The HTTP client takes the process's TLS provider. Another part of the process may have set it before us: as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

#[cfg(feature = "s3")]
fn s3(bucket: &str) -> object_store::Result<object_store::aws::AmazonS3> {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
    let builder = AmazonS3Builder::from_env();
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .find_map(|key| builder.get_config_value(key))
        .unwrap_or_default();
    let is_decided = std::env::var_os("AWS_ALLOW_HTTP").is_some();
    let builder = match endpoint.starts_with("http://") && !is_decided {
        // Who writes http:// means it, as with the service's own tools.
        true => builder.with_allow_http(true),
        false => builder,
    };
    // Set last: no variable may take the create-only put away, on which the whole journal stands.
    builder.with_bucket_name(bucket).with_conditional_put(S3ConditionalPut::ETagMatch).with_retry(once()).build()
}

#[cfg(feature = "gcs")]
fn gcs(bucket: &str) -> object_store::Result<object_store::gcp::GoogleCloudStorage> {
    object_store::gcp::GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(once()).build()
}

#[cfg(feature = "azure")]
fn azure(container: &str) -> object_store::Result<object_store::azure::MicrosoftAzure> {
    object_store::azure::MicrosoftAzureBuilder::from_env().with_container_name(container).with_retry(once()).build()
}
