//! Asking registries about many things at the same time.

use std::pin::Pin;

use futures_util::stream;
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::diagnostic::Problem;
use crate::store::Repository;

/// Questions that are asked at the same time.
const AT_ONCE: usize = 8;

/// What is to be asked: whoever asks for it waits for the answer.
pub type Question<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The answers to questions, in their order; some are asked at the same time.
pub async fn answers<T>(questions: Vec<Question<'_, T>>) -> Vec<T> {
    stream::iter(questions).buffered(AT_ONCE).collect().await
}

/// As [`answers`], of questions that may fail.
///
/// # Errors
/// The first failure: what was not asked by then is not.
pub async fn all<T>(questions: Vec<Question<'_, Result<T, Problem>>>) -> Result<Vec<T>, Problem> {
    stream::iter(questions).buffered(AT_ONCE).try_collect().await
}

/// What `ask` says of each thing in a repository, such as a tag, in their order.
///
/// # Errors
/// As [`all`].
pub async fn each<I, T, F>(
    repository: &Repository,
    things: Vec<I>,
    ask: impl Fn(Repository, I) -> F,
) -> Result<Vec<T>, Problem>
where
    F: Future<Output = Result<T, Problem>> + Send,
{
    let mut questions: Vec<Question<'_, _>> = Vec::new();
    for thing in things {
        questions.push(Box::pin(ask(repository.clone(), thing)));
    }
    all(questions).await
}
