//! Why a request was not done, with the code that containerd's clients tell errors apart by.

use containerd_shim_protos::ttrpc::{self, Code};
use runtime_control::{CallError, Kind};
use runtime_oci::{BundleError, StateError};

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such container, or process.
    #[error("{0}: not found")]
    NotFound(String),
    #[error("{0}: already exists")]
    Exists(String),
    /// The state of things forbids it.
    #[error("{0}")]
    Precondition(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0} is not supported by palisade")]
    Unimplemented(&'static str),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Place(#[from] runtime_control::PlaceError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Cgroup(#[from] runtime_oci::cgroup::CgroupError),
    #[error(transparent)]
    Hook(#[from] runtime_oci::hooks::HookError),
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
}

/// Makes a failed call of the host an error that says what it was about.
pub(crate) fn io<E: Into<std::io::Error>>(what: impl ToString) -> impl FnOnce(E) -> Error {
    move |error| Error::Io(what.to_string(), error.into())
}

impl Error {
    fn code(&self) -> Code {
        match self {
            Self::NotFound(_) => Code::NOT_FOUND,
            Self::Exists(_) => Code::ALREADY_EXISTS,
            Self::Precondition(_) => Code::FAILED_PRECONDITION,
            Self::Invalid(_) | Self::Bundle(_) | Self::Place(_) => Code::INVALID_ARGUMENT,
            Self::Unimplemented(_) => Code::UNIMPLEMENTED,
            Self::Call(error) => match error.kind() {
                Some(Kind::NotFound) => Code::NOT_FOUND,
                Some(Kind::Exists) => Code::ALREADY_EXISTS,
                Some(Kind::WrongState) => Code::FAILED_PRECONDITION,
                Some(Kind::Invalid) => Code::INVALID_ARGUMENT,
                _ => Code::UNKNOWN,
            },
            Self::State(StateError::Exists(_)) => Code::ALREADY_EXISTS,
            Self::State(StateError::NotFound(_)) => Code::NOT_FOUND,
            _ => Code::UNKNOWN,
        }
    }
}

impl From<Error> for ttrpc::Error {
    fn from(error: Error) -> Self {
        Self::RpcStatus(ttrpc::get_status(error.code(), error.to_string()))
    }
}
