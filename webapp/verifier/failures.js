/* What may go wrong: evidence that fails a named check, and a browser that cannot do what a check needs. */

/** A failed check: a code of the protocol, a sentence, and the statement it is about. */
export class EvidenceError extends Error {
  constructor(code, detail, sid = null) {
    super(`${code}: ${detail}`);
    Object.assign(this, { code, detail, sid });
  }
}

/** The container itself is broken: nothing more can be said of what is in it. */
export class BundleError extends EvidenceError {}

/** This browser lacks something; nothing can be said about the evidence. `reason` is a name of words.js. */
export class UnableError extends Error {
  constructor(reason, detail = "") {
    super(`${reason} ${detail}`);
    this.reason = reason;
  }
}

export const fail = (code, detail, sid = null) => {
  throw new EvidenceError(code, detail, sid);
};

/** Do a step; what fails in it fails with another code, or is about this statement. Null leaves as it is. */
export async function within(code, sid, step) {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof EvidenceError) || error instanceof BundleError) throw error;
    throw new EvidenceError(code ?? error.code, error.detail, sid ?? error.sid);
  }
}
