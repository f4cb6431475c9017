//! Signatures and attestations, as a registry hands them out: whatever they say, nobody
//! but the key has signed them.
#![no_main]

use hoist::oci::Digest;
use hoist::seal::fuzzing::judged;
use hoist::seal::{PublicKey, recognise};
use libfuzzer_sys::fuzz_target;

/// A key of which nobody has the private half.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAECpPe85stv77Bn2MkcjiTQrvyBO+c
K1qUnjbaHVCE8Ejy1H2HUNzh99IfCjmNOwUWCcUxGWoIBlb9x8hVEk5Ekw==
-----END PUBLIC KEY-----
";

fuzz_target!(|data: &[u8]| {
    let key = PublicKey::read(KEY).expect("it is a key");
    let (signature, bytes) = data.split_at(data.len().min(96));
    let signature = String::from_utf8_lossy(signature);
    for content in [data, bytes] {
        for (_, signed) in judged(content, &signature, &Digest::of(b"image"), &key) {
            assert!(!signed, "a signature was forged");
        }
    }
    // Keys come from files of the user, which may be anything.
    let text = String::from_utf8_lossy(data);
    let _ = PublicKey::read(&text);
    let _ = recognise(data);
});
