//! Single flight: of many that need the same answer at once, one asks and all get what it hears.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An answer on its way; none if the task that asked broke.
type Flight<T> = Shared<BoxFuture<'static, Option<T>>>;

/// The questions that are being asked just now, by what they ask for. A flight is a task of its own and ends within its
/// own deadlines, whoever still waits for it.
pub(crate) struct Flights<K, T> {
    flying: Arc<Mutex<HashMap<K, Flight<T>>>>,
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Flights { flying: Arc::default() }
    }
}

impl<K, T> Flights<K, T>
where
    K: Copy + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The answer to `key`; `ask` is called if nobody is asking yet.
    pub(crate) async fn join(&self, key: K, ask: impl FnOnce() -> BoxFuture<'static, T>) -> Option<T> {
        let flight = {
            let mut flying = lock(&self.flying);
            flying.entry(key).or_insert_with(|| self.start(key, ask())).clone()
        };
        flight.await
    }

    fn start(&self, key: K, asking: BoxFuture<'static, T>) -> Flight<T> {
        let landing = Landing { flying: self.flying.clone(), key };
        let task = tokio::spawn(async move {
            let answer = asking.await;
            drop(landing);
            answer
        });
        async move { task.await.ok() }.boxed().shared()
    }
}

/// Takes a flight off the list, also when its task panics.
struct Landing<K: Eq + Hash, T> {
    flying: Arc<Mutex<HashMap<K, Flight<T>>>>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        // Started under this lock, so it is on the list by now.
        lock(&self.flying).remove(&self.key);
    }
}

fn lock<K, T>(flying: &Mutex<HashMap<K, Flight<T>>>) -> MutexGuard<'_, HashMap<K, Flight<T>>> {
    flying.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn many_join_one_flight_and_the_next_begins_anew() {
        let (flights, asked) = (Flights::<u32, u32>::default(), Arc::new(AtomicUsize::new(0)));
        let ask = |answer| {
            let asked = asked.clone();
            move || -> BoxFuture<'static, u32> {
                asked.fetch_add(1, Ordering::Relaxed);
                Box::pin(async move {
                    tokio::task::yield_now().await;
                    answer
                })
            }
        };
        let answers = futures_util::future::join_all((0..100).map(|_| flights.join(1, ask(7)))).await;
        assert!(answers.iter().all(|answer| *answer == Some(7)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(flights.join(2, ask(8)).await, Some(8));
        assert_eq!(flights.join(1, ask(9)).await, Some(9), "the first has landed");
        assert!(lock(&flights.flying).is_empty());
    }

    #[tokio::test]
    async fn a_flight_goes_on_without_those_who_left_and_breaks_alone() {
        let flights = Flights::<u32, u32>::default();
        let (tell, told) = tokio::sync::oneshot::channel::<u32>();
        let ask = move || -> BoxFuture<'static, u32> { Box::pin(async move { told.await.unwrap() }) };
        let mut left = Box::pin(flights.join(1, ask));
        assert!((&mut left).now_or_never().is_none());
        drop(left);
        tell.send(5).unwrap();
        while !lock(&flights.flying).is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(flights.join(1, || Box::pin(async { panic!("a bug") })).await, None);
        assert!(lock(&flights.flying).is_empty());
    }
}
