/**
 * The payload of a mutation that was done; why it was not done is thrown.
 * @template {{ userErrors: ReadonlyArray<{ code: string, message: string, path?: ReadonlyArray<string> | null }> }} Payload
 * @param {Payload} payload
 */
export function accepted(payload) {
  const [first] = payload.userErrors;
  if (!first) return payload;
  throw Object.assign(new Error(first.message), { code: first.code, userErrors: payload.userErrors });
}
