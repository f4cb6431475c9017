//! Asking several registries at the same time.

use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream;

/// Questions that are asked at the same time.
const AT_ONCE: usize = 8;

/// What is to be asked: whoever asks for it waits for the answer.
pub type Question<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The answers to questions, in their order; some are asked at the same time.
pub async fn answers<T>(questions: Vec<Question<'_, T>>) -> Vec<T> {
    stream::iter(questions).buffered(AT_ONCE).collect().await
}
