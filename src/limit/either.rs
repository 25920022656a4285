use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Ask, Decision, Hold, Store, Weights};
use crate::error::Error;

/// One store or another, chosen when the program starts; also what each of them gives.
#[derive(Clone, Debug)]
pub enum Either<A, B> {
    /// This one.
    Left(A),
    /// That one.
    Right(B),
}

impl<A: Store, B: Store> Store for Either<A, B> {
    type Hold = Either<A::Hold, B::Hold>;
    type Take = EitherTake<A::Take, B::Take>;

    fn take(&self, ask: Ask) -> Self::Take {
        match self {
            Self::Left(store) => EitherTake::Left {
                take: store.take(ask),
            },
            Self::Right(store) => EitherTake::Right {
                take: store.take(ask),
            },
        }
    }

    fn take_now(&self, ask: &Ask) -> Option<Result<Decision<Self::Hold>, Error>> {
        Some(match self {
            Self::Left(store) => store.take_now(ask)?.map(|it| it.map(Self::Hold::Left)),
            Self::Right(store) => store.take_now(ask)?.map(|it| it.map(Self::Hold::Right)),
        })
    }
}

impl<A: Hold, B: Hold> Hold for Either<A, B> {
    fn settle(self, actual: &Weights) {
        match self {
            Self::Left(hold) => hold.settle(actual),
            Self::Right(hold) => hold.settle(actual),
        }
    }
}

pin_project! {
    /// The decision of an [`Either`].
    #[project = TakeProj]
    #[derive(Debug)]
    #[allow(missing_docs)]
    pub enum EitherTake<A, B> {
        /// Of this one.
        Left { #[pin] take: A },
        /// Of that one.
        Right { #[pin] take: B },
    }
}

impl<A, B, H, K> Future for EitherTake<A, B>
where
    A: Future<Output = Result<Decision<H>, Error>>,
    B: Future<Output = Result<Decision<K>, Error>>,
{
    type Output = Result<Decision<Either<H, K>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project() {
            TakeProj::Left { take } => {
                ready!(take.poll(cx)).map(|decision| decision.map(Either::Left))
            }
            TakeProj::Right { take } => {
                ready!(take.poll(cx)).map(|decision| decision.map(Either::Right))
            }
        })
    }
}
