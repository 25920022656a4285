#![allow(missing_docs)]

mod support;

fn main() {
    support::main(|bench| {
        bench.case("nothing", || ());
    });
}
