//! Asks a container until it answers as it must.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::engine::runtime::Request;
use crate::engine::runtime::request::Unmet;

/// How long it is waited before the same is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Requests that are asked beside the waiting for the container's end.
pub(super) struct Asking {
    /// Closed by the other side when all were answered as they must be.
    pub(super) done: UnixStream,
    unmet: Arc<Mutex<Vec<Option<String>>>>,
}

impl Asking {
    /// Begins to ask; `None` if there is nothing to ask.
    pub(super) fn start(requests: Vec<Request>) -> Result<Option<Self>, String> {
        if requests.is_empty() {
            return Ok(None);
        }
        let (done, asked) = UnixStream::pair().map_err(|error| error.to_string())?;
        let unmet = Arc::new(Mutex::new(vec![Some("it was not asked".to_owned()); requests.len()]));
        let told = Arc::clone(&unmet);
        thread::spawn(move || {
            for (at, request) in requests.iter().enumerate() {
                let mut has_answered = false;
                while let Err(unmet) = request.ask() {
                    match unmet {
                        Unmet::Answer(reason) => {
                            has_answered = true;
                            tell(&told, at, Some(reason));
                        }
                        // That it was ended says less than what it answered before.
                        Unmet::NoAnswer(reason) if !has_answered => tell(&told, at, Some(reason)),
                        Unmet::NoAnswer(_) => {}
                    }
                    thread::sleep(PAUSE);
                }
                tell(&told, at, None);
            }
            drop(asked);
        });
        Ok(Some(Self { done, unmet }))
    }

    /// Of each request why it was not answered as it must be, the last time that it
    /// was asked; `None` for one that was.
    pub(super) fn unmet(&self) -> Vec<Option<String>> {
        self.unmet.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn tell(unmet: &Mutex<Vec<Option<String>>>, at: usize, reason: Option<String>) {
    if let Some(place) = unmet.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at) {
        *place = reason;
    }
}
