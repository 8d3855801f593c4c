import java.io.BufferedReader;
import java.io.InputStreamReader;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.core.util.VersionInfo;
import software.amazon.awssdk.services.sts.StsClient;

public class SdkV2 {
    public static void main(String[] arguments) throws Exception {
        System.out.println(VersionInfo.SDK_VERSION);
        StsClient sts = StsClient.create();
        BufferedReader calls = new BufferedReader(new InputStreamReader(System.in));
        while (calls.readLine() != null) {
            try {
                System.out.println("ok " + sts.getCallerIdentity().arn());
            } catch (SdkException error) {
                System.out.println("error " + error.getMessage().replace('\n', ' '));
            }
        }
    }
}
