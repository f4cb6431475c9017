//! Image configurations (OCI image specification, "Image Configuration").

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::oci::document::{bytes, nullable, parse};
use crate::oci::written::with_unknown;
use crate::oci::{Digest, InvalidDocument, Platform, Unknown};

/// What an image is made of and how it is run.
///
/// Lists and maps keep their order, and fields that this crate does not know
/// are kept: the configuration of a base goes into the image built on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct ImageConfig {
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Processor architecture.
    pub architecture: String,
    /// Operating system.
    pub os: String,
    /// Version of the operating system, where it matters (Windows).
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features that the operating system must have.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How it is run.
    #[serde(default, deserialize_with = "nullable")]
    pub config: ContainerConfig,
    /// The layers by their unpacked content.
    pub rootfs: RootFs,
    /// How each layer came to be.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// Other fields.
    #[serde(flatten, skip_deserializing)]
    pub unknown: Unknown,
}

/// How an image is run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[serde(remote = "Self")]
pub struct ContainerConfig {
    /// User, and group behind a colon; by name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Ports that are listened on, as `8080/tcp`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "IndexMap::is_empty")]
    pub exposed_ports: IndexMap<String, Nothing>,
    /// Variables, as `NAME=value`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Arguments that the caller may replace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Directories that hold data of their own.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "IndexMap::is_empty")]
    pub volumes: IndexMap<String, Nothing>,
    /// Directory that the program starts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Facts for whoever handles the image.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
    /// Signal that asks the program to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Other fields, such as Docker's `Healthcheck` and `OnBuild`.
    #[serde(flatten, skip_deserializing)]
    pub unknown: Unknown,
}

/// `{}`: the value of a map that stands for a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// The layers of an image by their unpacked content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digest of each layer as an uncompressed archive, the lowest first.
    #[serde(default, deserialize_with = "nullable")]
    pub diff_ids: Vec<Digest>,
    /// Other fields.
    #[serde(flatten, skip_deserializing)]
    pub unknown: Unknown,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new(), unknown: Unknown::new() }
    }
}

/// How a layer, or a change of the configuration alone, came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// There is no layer of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// Other fields.
    #[serde(flatten, skip_deserializing)]
    pub unknown: Unknown,
}

with_unknown!(ImageConfig, ContainerConfig, RootFs, History);

impl ImageConfig {
    /// The configuration of an image for a platform, without layers.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            ..Self::default()
        }
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// Bytes that are no image configuration.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidDocument> {
        parse(bytes)
    }

    /// Its bytes, the same each time.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes(self)
    }

    /// What it runs on, by its normal name.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform::normal(&self.os, &self.architecture, self.variant.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Docker writes it: empty lists are `null`, fields of its own.
    const DOCKER: &str = r#"{
        "architecture": "arm64", "variant": "v8", "os": "linux", "created": "2024-01-02T03:04:05.678Z",
        "config": {
            "Hostname": "", "User": "nobody", "Env": ["PATH=/bin", "A=b=c"], "Cmd": null, "Volumes": null,
            "ExposedPorts": {"80/tcp": {}, "443/tcp": {}}, "Labels": {"z": "1", "a": "2"},
            "Healthcheck": {"Test": ["CMD", "true"]}, "OnBuild": null, "Weight": 1.10
        },
        "container": "0123", "serial": 340282366920938463463374607431768211456,
        "rootfs": {"type": "layers", "diff_ids": null, "of": [0.1000]},
        "history": [{"created_by": "ADD x", "empty_layer": true, "took": 18446744073709551617, "by": "B\u00e9"}]
    }"#;

    #[test]
    fn the_configuration_of_a_base_is_carried_on_as_it_is() {
        let config = ImageConfig::parse(DOCKER.as_bytes()).unwrap();
        assert_eq!(config.platform(), "linux/arm64".parse().unwrap());
        assert_eq!(config.config.exposed_ports.keys().collect::<Vec<_>>(), ["80/tcp", "443/tcp"]);
        assert_eq!(config.config.labels.keys().collect::<Vec<_>>(), ["z", "a"]);
        assert_eq!(config.config.cmd, None);
        let written = String::from_utf8(config.to_bytes()).unwrap();
        for kept in [
            r#""Healthcheck":{"Test": ["CMD", "true"]},"OnBuild":null,"Weight":1.10"#,
            r#""container":"0123","serial":340282366920938463463374607431768211456"#,
            r#""empty_layer":true,"took":18446744073709551617,"by":"B\u00e9""#,
            r#""of":[0.1000]"#,
        ] {
            assert!(written.contains(kept), "{kept} is missing in {written}");
        }
        assert_eq!(ImageConfig::parse(written.as_bytes()), Ok(config));
    }

    #[test]
    fn what_nobody_can_read_or_could_read_in_two_ways_is_refused() {
        let refused = |more: &str| {
            let text = format!(r#"{{"architecture":"a","os":"b","rootfs":{{"type":"layers"}},{more}}}"#);
            match ImageConfig::parse(text.as_bytes()) {
                Err(InvalidDocument::Json(why)) => why,
                read => panic!("{read:?}"),
            }
        };
        assert!(refused(r#""os":"c""#).contains("duplicate field `os`"));
        assert!(refused(r#""x":1e999"#).contains("out of range"));
        assert!(refused(r#""history":[{"created":1}]"#).contains("invalid type"));
        let deep = format!(r#""x":{}{}"#, "[".repeat(200), "]".repeat(200));
        assert!(refused(&deep).contains("recursion"));
    }
}
