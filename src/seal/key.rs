//! Keys that sign and verify: ECDSA over P-256 with SHA-256, what every verifier of
//! cosign's signatures knows.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::SecretKey;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _};

use crate::oci::Digest;
use crate::seal::{encrypted, pem};

/// The labels of a key that cosign has encrypted, the older one last.
const ENCRYPTED: [&str; 2] = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];

/// Why a text is not the key that is needed. Nothing of the text is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidKey {
    /// It has no PEM block with a key.
    NotPem,
    /// A PEM block of another kind, by its label.
    Kind(String),
    /// It cannot be read, or is for another curve than P-256.
    Damaged,
    /// It is encrypted in a way that cosign does not use, or at a cost without bounds.
    Encryption(String),
    /// It is encrypted, and the password does not open it.
    Password,
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem => f.write_str("it has no line `-----BEGIN …-----` of a key"),
            Self::Kind(label) => write!(f, "it is a `{label}`"),
            Self::Damaged => f.write_str("it cannot be read as a key for the curve P-256"),
            Self::Encryption(how) => write!(f, "it is encrypted with {how}"),
            Self::Password => f.write_str("the password does not open it"),
        }
    }
}

impl std::error::Error for InvalidKey {}

/// A private key. It is shown nowhere, and wiped from memory when it is dropped.
pub struct Signer {
    key: SigningKey,
    public: PublicKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.public).finish()
    }
}

impl Signer {
    /// Whether a private key is encrypted as cosign does it, so that a password is needed.
    #[must_use]
    pub fn is_encrypted(text: &str) -> bool {
        pem::blocks(text).iter().any(|(label, _)| ENCRYPTED.contains(label))
    }

    /// Reads a private key: cosign's, PKCS#8, or SEC 1; the password matters for the first.
    ///
    /// # Errors
    /// It is none of them, or for another curve; the password does not open it.
    pub fn read(text: &str, password: &[u8]) -> Result<Self, InvalidKey> {
        let blocks = pem::blocks(text);
        // `openssl ecparam -genkey` says the curve in a block of its own before the key.
        let key = blocks.iter().find(|(label, _)| label.ends_with("PRIVATE KEY"));
        let (label, content) = key.or(blocks.first()).ok_or(InvalidKey::NotPem)?;
        let damaged = |_| InvalidKey::Damaged;
        let secret = match *label {
            "PRIVATE KEY" => SecretKey::from_pkcs8_der(content).map_err(damaged)?,
            "EC PRIVATE KEY" => SecretKey::from_sec1_der(content).map_err(|_| InvalidKey::Damaged)?,
            label if ENCRYPTED.contains(&label) => {
                SecretKey::from_pkcs8_der(&encrypted::decrypt(content, password)?).map_err(damaged)?
            }
            label => return Err(InvalidKey::Kind(label.to_owned())),
        };
        let key = SigningKey::from(&secret);
        let public = PublicKey::new(*key.verifying_key())?;
        Ok(Self { key, public })
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature of a message: base64 of its DER. The same message gives the same
    /// signature each time (RFC 6979).
    pub(super) fn sign(&self, message: &[u8]) -> String {
        let signature: DerSignature = self.key.sign(message);
        STANDARD.encode(signature.as_bytes())
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    /// `SubjectPublicKeyInfo` (RFC 5280).
    der: Vec<u8>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.fingerprint()).finish()
    }
}

impl PublicKey {
    fn new(key: VerifyingKey) -> Result<Self, InvalidKey> {
        let der = p256::PublicKey::from(&key).to_public_key_der().map_err(|_| InvalidKey::Damaged)?;
        Ok(Self { key, der: der.as_bytes().to_vec() })
    }

    /// Reads a public key, such as `cosign.pub`.
    ///
    /// # Errors
    /// It is none, or for another curve than P-256.
    pub fn read(text: &str) -> Result<Self, InvalidKey> {
        let blocks = pem::blocks(text);
        let (label, content) = blocks.first().ok_or(InvalidKey::NotPem)?;
        if *label != "PUBLIC KEY" {
            return Err(InvalidKey::Kind((*label).to_owned()));
        }
        let key = p256::PublicKey::from_public_key_der(content).map_err(|_| InvalidKey::Damaged)?;
        Self::new(VerifyingKey::from(key))
    }

    /// SHA-256 of the key as it is kept in DER: tells keys apart.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// The fingerprint as bundles give it.
    pub(super) fn hint(&self) -> String {
        use sha2::Digest as _;
        STANDARD.encode(sha2::Sha256::digest(&self.der))
    }

    /// Whether a signature in base64 is this key's of a message.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let signature = STANDARD.decode(signature).ok();
        let signature = signature.and_then(|bytes| DerSignature::try_from(bytes.as_slice()).ok());
        signature.is_some_and(|signature| self.key.verify(message, &signature).is_ok())
    }
}
