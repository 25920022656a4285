//! The locks of [`table`](super::table) and of [`queue`](super::queue), and the atomics of `redis`, in
//! whose place a model puts its own.

pub(super) use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic,
};
