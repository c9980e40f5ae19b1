//! The figures of the watchers as text.

#![expect(clippy::print_stdout, reason = "the figures are the answer")]

use super::{
    Memory, Outcome,
    ears::{Arrival, Delivery},
};
use crate::measure::Spread;

/// Prints them.
pub(super) fn tell(outcome: &Outcome) {
    let Outcome { sockets, sockets_open, sockets_lost, .. } = outcome;
    let Outcome { subscriptions, subscriptions_open, entered_per_second, .. } = outcome;
    let Outcome { sockets_per_second, subscriptions_per_second, .. } = outcome;
    println!("\n{sockets_open} of {sockets} sockets open, {sockets_lost} lost");
    println!("{subscriptions_open} of {subscriptions} subscriptions open over them");
    println!("  entered            {entered_per_second:.0} places per second");
    println!(
        "  connected          {sockets_per_second:.0} sockets per second, {subscriptions_per_second:.0} subscriptions per second"
    );
    let Spread { p50, p99, max, .. } = outcome.connect_ms;
    println!("  to the first push  p50 {p50:.0} ms, p99 {p99:.0} ms, max {max:.0} ms");
    if let Some(memory) = &outcome.server_memory {
        println!("  server's memory    {}", each(memory));
    }
    if let Some(memory) = &outcome.own_memory {
        println!("  our own memory     {}, their sessions and our code included", each(memory));
    }
    if let Some(idle) = outcome.idle_cpu_percent {
        println!("  server idle        {idle:.1} % of a core");
    }
    if outcome.deliveries.is_empty() {
        println!(
            "  Pushes were not measured: --organizer-token or --organizer says who may change the room."
        );
    }
    for delivery in &outcome.deliveries {
        tell_delivery(delivery);
    }
}

fn each(memory: &Memory) -> String {
    let Memory { kb_per_socket, kb_per_subscription } = memory;
    format!("{kb_per_socket:.1} kB per socket, {kb_per_subscription:.1} kB per subscription")
}

fn tell_delivery(delivery: &Delivery) {
    let Delivery { change, answered_ms, waiting, told, pushes, status, position, .. } = delivery;
    println!("\n  When {change} (answered in {answered_ms:.0} ms):");
    println!("    {told} subscriptions were told, with {waiting} in line; {pushes} pushes");
    tell_arrival("change of status", status);
    tell_arrival("change of position", position);
    if let Some(us) = delivery.server_cpu_us_per_push {
        println!("    {us:.1} us of the server's CPU for each push");
    }
}

fn tell_arrival(name: &str, arrival: &Arrival) {
    let Arrival { told, ms: Spread { p50, p99, max, .. }, spread_ms } = arrival;
    if *told > 0 {
        println!(
            "    {name}: {told} told, after p50 {p50:.0} ms, p99 {p99:.0} ms, the last {max:.0} ms; from first to last {spread_ms:.0} ms"
        );
    }
}
