/** Asks until there is an answer, as often and as late as the server says that it helps. `ask` throws what Apollo Client throws. */
export async function patiently(ask, times = 5) {
  for (let time = 1; ; time += 1) {
    try {
      return await ask();
    } catch (error) {
      const { retryable, retryAfterSeconds = 2 ** time / 2 } = error.errors?.[0]?.extensions ?? {};
      if (!retryable || time === times) throw error;
      // A little later than said, and not everybody at once.
      await new Promise((resume) => setTimeout(resume, retryAfterSeconds * (1_000 + Math.random() * 500)));
    }
  }
}
