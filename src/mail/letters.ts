import type { Mail } from './mail.ts';

/** A mail without its address. */
type Letter = Omit<Mail, 'to'>;

/** To whoever asked for a new password. */
export function passwordResetLetter(link: string): Letter {
  return {
    subject: 'Choose a new password',
    text: lines(
      'Somebody, probably you, asked for a new password for your account. Choose one here within an hour:',
      link,
      'The link is good for one change. If it was not you, ignore this mail: nothing has changed.',
    ),
  };
}

/** To an address that somebody gave as theirs. */
export function verificationLetter(link: string): Letter {
  return {
    subject: 'Confirm your e-mail address',
    text: lines(
      'This address was given for an account. If it was you, confirm it here within three days:',
      link,
      'If it was not you, ignore this mail.',
    ),
  };
}

/** To the owner of an account whose password was changed. */
export function passwordChangedLetter(): Letter {
  return {
    subject: 'Your password was changed',
    text: lines(
      'The password of your account was changed, and every other session was ended.',
      'If it was not you, ask for a new password at once, where you sign in.',
    ),
  };
}

/** To the address that an account had until now. */
export function emailChangedLetter(): Letter {
  return {
    subject: 'Your e-mail address was changed',
    text: lines(
      'Your account has another e-mail address now. This one is no longer used for it.',
      'If it was not you, write to whoever runs this service: somebody knows your password.',
    ),
  };
}

function lines(...paragraphs: string[]): string {
  return `${paragraphs.join('\n\n')}\n`;
}
