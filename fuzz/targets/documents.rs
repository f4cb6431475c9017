//! Manifests and indexes: what is one is not the other, and is written so that it says
//! the same.
#![no_main]

use hoist::oci::{ImageConfig, Index, Manifest};
use hoist::store::fuzzing::listing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (manifest, index) = (Manifest::parse(data), Index::parse(data));
    assert!(manifest.is_err() || index.is_err(), "it is both");
    let referred = listing(data);
    if let Ok(manifest) = manifest {
        let again = Manifest::parse(&manifest.to_bytes()).expect("it was one");
        assert_eq!((&again.config.digest, &again.subject), (&manifest.config.digest, &manifest.subject));
        assert_eq!(again.layers.len(), manifest.layers.len());
        let subject = manifest.subject.map(|subject| subject.digest);
        assert_eq!(referred.as_ref().map(|(subject, _)| *subject), subject);
    } else if let Ok(index) = index {
        let again = Index::parse(&index.to_bytes()).expect("it was one");
        let digests = |index: &Index| index.manifests.iter().map(|one| one.digest).collect::<Vec<_>>();
        assert_eq!(digests(&again), digests(&index));
    }
    if let Some((_, entry)) = referred {
        assert_eq!(entry.size, data.len() as u64);
    }
    if let Ok(config) = ImageConfig::parse(data) {
        assert!(ImageConfig::parse(&config.to_bytes()).is_ok());
    }
});
