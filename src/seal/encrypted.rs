//! Private keys as `cosign generate-key-pair` keeps them: scrypt makes a key of the
//! password, and nacl's secretbox is opened with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{Key, KeyInit as _, Nonce, XSalsa20Poly1305};
use scrypt::Params;
use serde::Deserialize;

use crate::seal::InvalidKey;

/// The most memory that deriving a key may take, in bytes: cosign's take 64 MiB.
const MAX_MEMORY: u64 = 512 << 20;
/// The most rounds over that memory.
const MAX_ROUNDS: u32 = 16;

#[derive(Deserialize)]
struct Encrypted {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Cost,
    salt: String,
}

/// What scrypt costs (RFC 7914).
#[derive(Deserialize)]
struct Cost {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// The key in the content of a PEM block, in PKCS#8.
pub(super) fn decrypt(content: &[u8], password: &[u8]) -> Result<Vec<u8>, InvalidKey> {
    let encrypted: Encrypted = serde_json::from_slice(content).map_err(|_| InvalidKey::Damaged)?;
    let Encrypted { kdf, cipher, ciphertext } = encrypted;
    if (kdf.name.as_str(), cipher.name.as_str()) != ("scrypt", "nacl/secretbox") {
        return Err(InvalidKey::Encryption(format!("{} and {}", kdf.name, cipher.name)));
    }
    let bytes = |text: &str| STANDARD.decode(text).map_err(|_| InvalidKey::Damaged);
    let nonce: [u8; 24] = bytes(&cipher.nonce)?.try_into().map_err(|_| InvalidKey::Damaged)?;
    let mut key = [0; 32];
    let params = params(&kdf.params)?;
    scrypt::scrypt(password, &bytes(&kdf.salt)?, &params, &mut key).map_err(|_| InvalidKey::Damaged)?;
    let opened = XSalsa20Poly1305::new(&Key::from(key));
    opened.decrypt(&Nonce::from(nonce), &*bytes(&ciphertext)?).map_err(|_| InvalidKey::Password)
}

fn params(cost: &Cost) -> Result<Params, InvalidKey> {
    let dear = || InvalidKey::Encryption(format!("scrypt with N={}, r={}, p={}", cost.n, cost.r, cost.p));
    let memory = u64::from(cost.r).checked_mul(128).and_then(|block| block.checked_mul(cost.n));
    if !cost.n.is_power_of_two() || memory.is_none_or(|memory| memory > MAX_MEMORY) || cost.p > MAX_ROUNDS {
        return Err(dear());
    }
    let log_n = u8::try_from(cost.n.trailing_zeros()).map_err(|_| dear())?;
    Params::new(log_n, cost.r, cost.p).map_err(|_| dear())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_take_all_memory_is_refused_before_it_does() {
        for (n, r, p) in [(1 << 40, 8, 1), (1 << 16, 1 << 20, 1), (1 << 16, 8, 1 << 20), (3, 8, 1), (0, 8, 1)]
        {
            assert!(params(&Cost { n, r, p }).is_err(), "{n} {r} {p}");
        }
        assert!(params(&Cost { n: 1 << 16, r: 8, p: 1 }).is_ok());
    }
}
