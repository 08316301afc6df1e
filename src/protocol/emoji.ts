/** One emoji, as Unicode recommends it for interchange, sequences included. */
const EMOJI = /^\p{RGI_Emoji}$/v;
/** Asks for the coloured form of a character that has a plain one too: ❤ is text, ❤️ an emoji. */
const EMOJI_PRESENTATION = '\ufe0f';
/** A character that needs to ask: it would be shown as text, and no skin tone follows that makes it an emoji. */
const SHOWN_AS_TEXT =
  /(?:(?!\p{Emoji_Presentation})\p{Extended_Pictographic}|[#*0-9](?=\u20e3))(?!\p{Emoji_Modifier})/gv;

/**
 * The canonical spelling of an emoji, or undefined if the text is none: two spellings must never be two reactions.
 * Keyboards leave the presentation selectors out here and there; the canonical spelling is what Unicode calls
 * fully-qualified (UTS #51).
 */
export function parseEmoji(text: string): string | undefined {
  const qualified = text.replaceAll(EMOJI_PRESENTATION, '').replace(SHOWN_AS_TEXT, `$&${EMOJI_PRESENTATION}`);
  return EMOJI.test(qualified) ? qualified : undefined;
}
