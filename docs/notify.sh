#!/bin/sh
# /srv/blocklist/notify: mail the notice to the addresses that it is given.
PATH=$PATH:/usr/sbin
read -r subject
{
    echo "Subject: [blocklist] $subject"
    echo "To: undisclosed-recipients:;"
    echo "MIME-Version: 1.0"
    echo "Content-Type: text/plain; charset=utf-8"
    echo "Content-Transfer-Encoding: 8bit"
    cat
} | sendmail -oi -- "$@"
