/* Errors that a person can read: what is thrown here bears a reason, and the page brings the words for it in its language. */

/** Return an error of a reason; its own text is for the one who helps. */
export const problem = (reason, text) => Object.assign(new TypeError(text), { reason });

/** Say an error in the page's words; one that the browser made keeps its name and text behind them. */
export function explain(form, error) {
  const words = JSON.parse(form.dataset.errors);
  return words[error.reason] ?? `${words.browser} ${error.name}: ${error.message}`;
}
