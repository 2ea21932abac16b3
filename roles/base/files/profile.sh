# Files of people are not for other accounts; a shell left alone ends after fifteen minutes.
umask 027
TMOUT=900
