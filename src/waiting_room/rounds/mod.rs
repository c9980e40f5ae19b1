//! What moves a line: rounds that let people in (`admit`), sending them home after a sale (`drain`), and counting who is
//! where for the metrics (`heads`). Their statements stand in `store::rounds`.

mod admit;
mod drain;
mod heads;
