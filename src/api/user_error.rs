//! Refusals as payload data: one type per family, and the interface over all of them. The codes stand beside their nouns.

use async_graphql::{Interface, OutputType, SimpleObject, resolver_utils::EnumType};

use super::{
    account::AccountErrorCode, cancellation::CancelErrorCode, concert::OrganizerErrorCode,
    extension::ExtendErrorCode, payment::PayErrorCode, reservation::HoldError,
    waiting_room::QueueErrorCode, wallet::ChargeErrorCode,
};
use crate::telemetry;

/// Why a mutation did not do what it was asked for.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(
    concrete(name = "AccountError", params(AccountErrorCode)),
    concrete(name = "OrganizerError", params(OrganizerErrorCode)),
    concrete(name = "QueueError", params(QueueErrorCode)),
    concrete(name = "ExtendError", params(ExtendErrorCode)),
    concrete(name = "CancelError", params(CancelErrorCode)),
    concrete(name = "PayError", params(PayErrorCode)),
    concrete(name = "ChargeError", params(ChargeErrorCode))
)]
pub(super) struct Refusal<C: OutputType> {
    /// What a program decides by.
    code: C,
    /// What a person reads, in English.
    message: String,
    /// The input field at fault, from the mutation's argument down.
    path: Option<Vec<String>>,
}

impl<C: OutputType> Refusal<C> {
    /// A refusal that no single field is the cause of.
    pub(super) fn new(code: C, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), path: None }
    }

    /// The same refusal with the field at fault.
    pub(super) fn at(self, path: &[&str]) -> Self {
        Self { path: Some(path.iter().map(|&step| step.to_owned()).collect()), ..self }
    }
}

pub(super) type AccountError = Refusal<AccountErrorCode>;
pub(super) type OrganizerError = Refusal<OrganizerErrorCode>;
pub(super) type QueueError = Refusal<QueueErrorCode>;
pub(super) type ExtendError = Refusal<ExtendErrorCode>;
pub(super) type CancelError = Refusal<CancelErrorCode>;
pub(super) type PayError = Refusal<PayErrorCode>;
pub(super) type ChargeError = Refusal<ChargeErrorCode>;

/// What every refusal has, whatever its family. `path` names the input field at fault, from the mutation's argument
/// down.
#[derive(Debug, Interface)]
#[graphql(
    field(name = "message", ty = "&String", desc = "What a person reads, in English."),
    field(
        name = "path",
        ty = "&Option<Vec<String>>",
        desc = "The input field at fault, from the mutation's argument down."
    )
)]
pub(super) enum UserError {
    Account(AccountError),
    Organizer(OrganizerError),
    Queue(QueueError),
    Hold(HoldError),
    Extend(ExtendError),
    Cancel(CancelError),
    Pay(PayError),
    Charge(ChargeError),
}

/// What says no by a code of a closed list.
pub(super) trait Coded {
    /// The code, as the schema writes it.
    fn code(&self) -> &'static str;
}

impl<C: OutputType + EnumType> Coded for Refusal<C> {
    fn code(&self) -> &'static str {
        name_of(self.code)
    }
}

impl Coded for HoldError {
    fn code(&self) -> &'static str {
        name_of(self.code)
    }
}

fn name_of<C: EnumType>(code: C) -> &'static str {
    C::items().iter().find(|item| item.value == code).map_or("UNKNOWN", |item| item.name)
}

/// A refusal that is about to be told: the log and the metrics know it by its code.
pub(super) fn told<E: Coded>(refusal: E) -> E {
    telemetry::refused(refusal.code());
    refusal
}

/// Takes an outcome apart into a payload's object and its `userErrors`, of a mutation that tells everything that is wrong with its
/// input at once.
pub(super) fn payload_of_form<T, R, E: Coded>(
    outcome: Result<T, Vec<R>>,
    mut error: impl FnMut(R) -> E,
) -> (Option<T>, Vec<E>) {
    match outcome {
        Ok(value) => (Some(value), Vec::new()),
        Err(refusals) => (None, refusals.into_iter().map(|it| told(error(it))).collect()),
    }
}

/// Takes an outcome apart into a payload's object and its `userErrors`.
pub(super) fn payload<T, E: Coded>(outcome: Result<T, E>) -> (Option<T>, Vec<E>) {
    match outcome {
        Ok(value) => (Some(value), Vec::new()),
        Err(error) => (None, vec![told(error)]),
    }
}
